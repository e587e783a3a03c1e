//! Doing something again and again, so many at a time.

use anyhow::Result;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long one side of one round runs.
pub const SLICE: Duration = Duration::from_millis(700);

/// Calls a second, `width` at a time, for one slice. `call` is told a running number.
pub async fn rate<F, C>(width: u64, call: C) -> Result<f64>
where
    C: Fn(u64) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send,
{
    rate_for(SLICE, width, call).await
}

/// The same, for so long.
pub async fn rate_for<F, C>(slice: Duration, width: u64, call: C) -> Result<f64>
where
    C: Fn(u64) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..width {
        let call = call.clone();
        tasks.spawn(async move {
            let mut done = 0_u64;
            while begun.elapsed() < slice {
                call(task + done).await?;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    let mut done = 0;
    while let Some(task) = tasks.join_next().await {
        done += task??;
    }
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}
