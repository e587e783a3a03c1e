//! The longest that one try may take. It and the total deadline share one timer: the earlier of both.

use super::may_apply;
use crate::config::policy::Switch;
use crate::config::units::Span;
use crate::error::{CallError, CallFailure};
use crate::request::Context;
use chassis_abi::Code;
use chassis_abi::manifest::Operation;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that one try may take. Of an operation that answers with a stream, only the time to its answer counts.
#[derive(Clone, Copy, Debug)]
pub struct AttemptTimeout {
    timeout: Option<Duration>,
    streams: bool,
    may_apply: bool,
}

/// The limit of one try that begins now.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// When it is over.
    pub at: Instant,
    /// What the plugin is told of it.
    pub told: Option<Instant>,
    /// Whether it is the try's own, and not the deadline of the whole call.
    own: Option<Duration>,
    may_apply: bool,
}

impl AttemptTimeout {
    /// The configured timeout, or what is usual for the operation's contract.
    pub fn new(configured: Option<Switch<Span>>, operation: &Operation) -> Self {
        let timeout = match configured {
            Some(Switch::On(limit)) => Some(limit.0),
            Some(Switch::Off) => None,
            None => (!operation.upload).then(|| usual(operation)),
        };
        Self { timeout, streams: operation.item.is_some(), may_apply: may_apply(operation) }
    }

    /// The limit that is configured.
    pub fn usual(&self) -> Option<Duration> {
        self.timeout
    }

    /// The limit of a try that begins now.
    pub fn of(&self, context: &Context, now: Instant, deadline: Option<Instant>, wait: Duration) -> Limit {
        let overridden = context.overrides.as_deref().and_then(|own| own.attempt_timeout);
        let timeout = overridden.map(|limit| limit.0).or(self.timeout);
        let own = timeout.map(|timeout| now + timeout + wait);
        let at = match (own, deadline) {
            (Some(own), Some(deadline)) => Some(own.min(deadline)),
            (own, deadline) => own.or(deadline),
        };
        Limit {
            at: at.unwrap_or(now + NEVER),
            // A stream goes on after its answer, so its plugin is told no time at which all must be over.
            told: at.filter(|_| !self.streams),
            own: timeout.filter(|_| own.is_some() && at == own && own != deadline),
            may_apply: self.may_apply,
        }
    }
}

impl Limit {
    /// The failure of a try that went on beyond it.
    #[cold]
    pub fn late(&self) -> CallFailure {
        let message = match self.own {
            Some(timeout) => format!("no answer within {} ms", timeout.as_millis()),
            None => "the deadline passed before the answer came".to_owned(),
        };
        let error = CallError::new(Code::DeadlineExceeded, message);
        // Only the try was too slow: another one may still be in time. And what was sent cannot be taken back.
        CallError { retryable: self.own.is_some(), maybe_applied: self.may_apply, ..error }.into()
    }
}

/// Further off than any process lives, and not so far that a clock overflows.
const NEVER: Duration = Duration::from_secs(86_400 * 365 * 30);

fn usual(operation: &Operation) -> Duration {
    match operation.contract.as_deref() {
        // A queue is looked through for it: that takes as long as the queue is.
        Some("queue") if operation.name == "retract" => Duration::from_secs(10),
        Some("cache") => Duration::from_millis(250),
        Some("relational" | "documents" | "queue") => Duration::from_secs(2),
        Some("search") => Duration::from_secs(3),
        _ => Duration::from_secs(5),
    }
}
