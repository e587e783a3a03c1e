//! A flow that takes messages more slowly than they may come: no shipped flow is started by a queue.

use crate::ask::Asking;
use anyhow::{Result, ensure};
use serde_json::json;

/// Its queue.
pub const QUEUE: &str = "observed_slowly";

/// Its name and file: one message at a time, and a step that a fault makes slow.
pub const FLOW: (&str, &str) = ("take-slowly", include_str!("take-slowly.toml"));

/// Makes the queue.
pub async fn declare(asking: &Asking) -> Result<()> {
    let answer = asking.call("rabbitmq", "declare", &json!({ "queue": QUEUE })).await?;
    ensure!(answer.status == 200, "the queue {QUEUE} is refused: {}", answer.body);
    Ok(())
}
