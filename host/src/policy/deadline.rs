//! The time by which a call is over, whatever happens to it: absolute, and never later than its caller's own.

use crate::error::{CallError, CallFailure};
use crate::request::Context;
use chassis_abi::Code;
use chassis_abi::manifest::Operation;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that a call may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    total: Option<Duration>,
}

/// The longest that a call may take, unless the configuration says otherwise.
pub const DEFAULT: Duration = Duration::from_secs(10);

impl Deadline {
    /// With the configured limit. An upload has none by itself, as it lasts as long as its caller sends.
    pub fn new(configured: Option<Duration>, operation: &Operation) -> Self {
        Self { total: configured.or((!operation.upload).then_some(DEFAULT)) }
    }

    /// When a call that begins now must be over; refused, when that is past already.
    pub fn of(&self, context: &Context, wait: Duration) -> Result<Option<Instant>, CallFailure> {
        let now = Instant::now();
        let own = self.total.map(|total| now + total + wait);
        match (own, context.deadline) {
            (_, Some(caller)) if caller <= now => Err(past()),
            (Some(own), Some(caller)) => Ok(Some(own.min(caller))),
            (own, caller) => Ok(own.or(caller)),
        }
    }
}

#[cold]
fn past() -> CallFailure {
    let error = CallError::new(Code::DeadlineExceeded, "the deadline had passed before the call was sent");
    CallFailure { refused_by: Some("deadline"), ..CallFailure::from(error) }
}
