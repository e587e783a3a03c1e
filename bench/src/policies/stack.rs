//! An operation in this process, called directly and through the whole stack with its defaults.

use crate::stats::median;
use anyhow::{Context as _, Result};
use chassis::config::PolicySettings;
use chassis::error::CallFailure;
use chassis::policy::{Attempt, Meters, Shared, Stack};
use chassis::request::Context;
use metrics::Counter;
use serde_json::json;
use std::hint::black_box;
use std::time::{Duration, Instant};

// Short rounds and many of them: on a busy machine most rounds are then whole, and the median is one of those.
const CALLS: u32 = 5_000;
const ROUNDS: usize = 601;

#[inline(never)]
async fn direct(raw: &[u8]) -> Result<Vec<u8>, CallFailure> {
    Ok(raw.to_vec())
}

/// Nanoseconds that the stack adds to a call, median of the rounds.
pub async fn measure() -> Result<f64> {
    let operation = json!({
        "name": "echo", "contract": "cache", "summary": "", "effect": "read", "idempotent": true, "input": {},
        "output": {}, "telemetry": { "kind": "internal", "operation": "echo" },
    });
    let operation = serde_json::from_value(operation).context("this is an operation")?;
    let (settings, now) = (PolicySettings::default(), tokio::time::Instant::now());
    let shared = Shared::new("bench".into(), &settings, Meters::default(), now);
    let stack = Stack::new(&settings, &operation, &shared, Counter::noop(), now);
    let context = Context::default();
    let raw = b"sixteen bytes!!!";
    let mut added = Vec::new();
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        for _ in 0..CALLS {
            black_box(direct(black_box(raw)).await?);
        }
        let theirs = begun.elapsed();
        let begun = Instant::now();
        for _ in 0..CALLS {
            let send = |attempt: Attempt<'_>| {
                black_box(attempt.told);
                direct(black_box(raw))
            };
            let now = tokio::time::Instant::now();
            black_box(stack.run(&context, now, Duration::ZERO, send).await?);
        }
        // The first round warms up.
        if round > 0 {
            added.push((begun.elapsed().as_secs_f64() - theirs.as_secs_f64()) * 1e9 / f64::from(CALLS));
        }
    }
    Ok(median(&added))
}
