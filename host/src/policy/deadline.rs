//! The time by which a call is over, whatever happens to it: absolute, and never later than its caller's own.

use crate::config::policy::Switch;
use crate::config::units::Span;
use crate::error::CallFailure;
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
    pub fn new(configured: Option<Switch<Span>>, operation: &Operation) -> Self {
        let total = match configured {
            Some(Switch::On(limit)) => Some(limit.0),
            Some(Switch::Off) => None,
            None => (!operation.upload).then_some(DEFAULT),
        };
        Self { total }
    }

    /// The limit that is configured.
    pub fn usual(&self) -> Option<Duration> {
        self.total
    }

    /// When a call that begins now must be over; refused, when that is past already.
    pub fn of(
        &self,
        context: &Context,
        now: Instant,
        wait: Duration,
    ) -> Result<Option<Instant>, CallFailure> {
        let overridden = context.overrides.as_deref().and_then(|own| own.deadline);
        let own = overridden.map(|limit| limit.0).or(self.total).map(|total| now + total + wait);
        match (own, context.deadline) {
            (_, Some(caller)) if caller <= now => Err(past()),
            (Some(own), Some(caller)) => Ok(Some(own.min(caller))),
            (own, caller) => Ok(own.or(caller)),
        }
    }
}

#[cold]
fn past() -> CallFailure {
    let message = "the deadline had passed before the call was sent: try again at once, with more time";
    CallFailure::refused("deadline", Code::DeadlineExceeded, message, Duration::ZERO)
}
