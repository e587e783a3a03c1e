//! Deadlines, cancellation, and servers that come and go.

use crate::{Bench, Failure, Outcome, expect_code};
use chassis_loader::{Call, CallError, Code};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::timeout;

/// How long a backend may take to be seen as gone, or as back.
const NOTICE: Duration = Duration::from_secs(15);

/// An operation that does not end by itself while this lives.
async fn slow(bench: &Bench) -> Result<(&'static str, Value), Failure> {
    match (&bench.subject.slow, bench.server.proxy()) {
        (Some((operation, input)), _) => Ok((*operation, input.clone())),
        (None, Some(proxy)) => {
            bench.call("health", json!({})).await?;
            proxy.freeze().await;
            Ok(("health", json!({})))
        }
        (None, None) => {
            Err(Failure::skipped("no slow operation is named, and there is no server to silence"))
        }
    }
}

fn begin(bench: &Bench, operation: &str, input: &Value, within: Duration) -> Result<Call, CallError> {
    let deadline = Some(SystemTime::now() + within);
    Ok(Call { deadline, ..Call::new(bench.operation(operation)?, input.to_string()) })
}

pub(crate) async fn late_calls_are_dropped(bench: &Bench) -> Outcome {
    let (operation, input) = slow(bench).await?;
    let within = Duration::from_millis(200);
    // The machine may be busy: three tries, and the best of them counts.
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        let call = bench.instance().call(begin(bench, operation, &input, within)?);
        match timeout(within, call).await {
            Ok(Ok(_)) => return Err(format!("{operation} ended although it is slow").into()),
            // The server (or its driver) kept the deadline itself.
            Ok(Err(error)) if begun.elapsed() < within => {
                return Err(format!("{operation} failed before its deadline: {error}").into());
            }
            _ => best = best.min(begun.elapsed()),
        }
    }
    if best > within + Duration::from_millis(50) {
        return Err(format!("the call ended {best:?} after its begin, its deadline was {within:?}").into());
    }
    works_again(bench).await
}

pub(crate) async fn dropped_calls_leave_nothing(bench: &Bench) -> Outcome {
    let (operation, input) = slow(bench).await?;
    for _ in 0..4 {
        let calls = (0..16).map(|_| begin(bench, operation, &input, NOTICE));
        let calls: Vec<Call> = calls.collect::<Result<_, _>>()?;
        let all = join_all(calls.into_iter().map(|call| bench.instance().call(call)));
        if timeout(Duration::from_millis(50), all).await.is_ok() {
            return Err(format!("{operation} ended although it is slow").into());
        }
    }
    works_again(bench).await
}

async fn works_again(bench: &Bench) -> Outcome {
    if let Some(proxy) = bench.server.proxy() {
        proxy.heal().await;
    }
    bench.eventually(NOTICE, || async { Ok(bench.call("health", json!({})).await.map(drop)?) }).await
}

pub(crate) async fn down_and_up(bench: &Bench) -> Outcome {
    if !bench.server.can_stop() {
        return Ok(());
    }
    bench.call("health", json!({})).await?;
    bench.server.stop().await?;
    let down = bench.eventually(NOTICE, || is_down(bench)).await;
    bench.server.start().await?;
    down?;
    works_again(bench).await
}

pub(crate) async fn down_at_start(bench: &Bench) -> Outcome {
    if !bench.server.can_stop() {
        return Ok(());
    }
    bench.server.stop().await?;
    let late = bench.another(bench.config()).await;
    let down = match &late {
        Ok(late) => bench.eventually(NOTICE, || is_down(late)).await,
        Err(_) => Ok(()),
    };
    bench.server.start().await?;
    down?;
    works_again(&late?).await
}

async fn is_down(bench: &Bench) -> Outcome {
    let error = expect_code(bench.call("health", json!({})).await, Code::Unavailable)?;
    if error.retryable { Ok(()) } else { Err(format!("`unavailable` must be retryable: {error}").into()) }
}
