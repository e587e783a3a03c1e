//! A call that asks its backend to wait (`receive` with `wait_ms`): that time is the caller's wish, and is added to every limit.

use chassis_abi::manifest::Operation;
use serde::Deserialize;
use std::time::Duration;

/// Of an operation that takes `wait_ms`.
#[derive(Clone, Copy, Debug)]
pub struct Wait;

/// No wish makes a call endless.
const LONGEST: u64 = 3_600_000;

impl Wait {
    /// For an operation whose input knows `wait_ms`; the inputs of others are never read.
    pub fn of(operation: &Operation) -> Option<Self> {
        operation.input.pointer("/properties/wait_ms").map(|_| Wait)
    }

    /// How long this call asks to wait. An input that cannot be read is for the plugin to refuse.
    pub fn of_input(self, input: &[u8]) -> Duration {
        #[derive(Deserialize)]
        struct Waiting {
            #[serde(default)]
            wait_ms: u64,
        }
        let wait = serde_json::from_slice(input).map_or(0, |Waiting { wait_ms }| wait_ms);
        Duration::from_millis(wait.min(LONGEST))
    }
}
