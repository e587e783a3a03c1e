//! What one call costs that does nothing: the boundary alone.

use super::Bare;
use crate::stats::median;
use anyhow::{Context, Result};
use bytes::Bytes;
use chassis_loader::{Call, Instance, Plugin};
use serde_json::json;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

// Short rounds and many of them: on a busy machine most rounds are then whole, and the median is one of those.
const CALLS: u32 = 5_000;
const ROUNDS: usize = 601;

/// The same as the plugin's operation, in this process: what is added to it is the boundary's.
#[inline(never)]
async fn direct(raw: &[u8]) -> Vec<u8> {
    raw.to_vec()
}

fn open(plugin: &Arc<Plugin>) -> Result<(Instance, u32)> {
    let instance = chassis_loader::create(plugin, "echo", &json!({}), Bare::here())?;
    let operation = plugin.manifest().operations.iter().position(|one| one.name == "echo_bytes");
    let operation = u32::try_from(operation.context("echo has no operation echo_bytes")?)?;
    Ok((instance, operation))
}

/// Nanoseconds that the boundary adds to a call, median of the rounds.
pub async fn measure(plugin: &Arc<Plugin>) -> Result<f64> {
    let (instance, operation) = open(plugin)?;
    let raw = Bytes::from_static(b"sixteen bytes!!!");
    let mut added = Vec::new();
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        for _ in 0..CALLS {
            black_box(direct(black_box(&raw)).await);
        }
        let theirs = begun.elapsed();
        let begun = Instant::now();
        for _ in 0..CALLS {
            let call = Call { operation, raw: raw.clone(), ..Call::default() };
            black_box(instance.call(call).await?.raw());
        }
        // The first round warms up.
        if round > 0 {
            added.push((begun.elapsed().as_secs_f64() - theirs.as_secs_f64()) * 1e9 / f64::from(CALLS));
        }
    }
    Ok(median(&added))
}

/// The boundary's side alone, for a profiler: calls a second.
pub async fn spin(plugin: &Arc<Plugin>, slice: Duration) -> Result<f64> {
    let (instance, operation) = open(plugin)?;
    let raw = Bytes::from_static(b"sixteen bytes!!!");
    let begun = Instant::now();
    let mut done = 0.0;
    while begun.elapsed() < slice {
        for _ in 0..CALLS {
            let call = Call { operation, raw: raw.clone(), ..Call::default() };
            black_box(instance.call(call).await?.raw());
        }
        done += f64::from(CALLS);
    }
    Ok(done / begun.elapsed().as_secs_f64())
}
