//! The longest that one try may take. It and the total deadline share one timer: the earlier of both.

use super::may_apply;
use crate::error::{CallError, CallFailure};
use chassis_abi::Code;
use chassis_abi::manifest::Operation;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The longest that one try may take. Of an operation that answers with a stream, only the time to its answer counts.
#[derive(Clone, Copy, Debug)]
pub struct AttemptTimeout {
    timeout: Option<Duration>,
    streams: bool,
    may_apply: bool,
}

impl AttemptTimeout {
    /// The configured timeout, or what is usual for the operation's contract.
    pub fn new(configured: Option<Duration>, operation: &Operation) -> Self {
        Self {
            timeout: configured.or((!operation.upload).then(|| usual(operation.contract.as_deref()))),
            streams: operation.item.is_some(),
            may_apply: may_apply(operation),
        }
    }

    /// Runs one try. Dropping the future of `send` is what ends the plugin's work.
    pub async fn run<T, F>(
        &self,
        deadline: Option<Instant>,
        wait: Duration,
        send: impl FnOnce(Option<Instant>) -> F,
    ) -> Result<T, CallFailure>
    where
        F: Future<Output = Result<T, CallFailure>>,
    {
        let own = self.timeout.map(|timeout| Instant::now() + timeout + wait);
        let Some(at) = own.into_iter().chain(deadline).min() else { return send(None).await };
        // A stream goes on after its answer, so its plugin is told no time at which all must be over.
        let told = if self.streams { None } else { Some(at) };
        match timeout_at(at, send(told)).await {
            Ok(result) => result,
            Err(_) => Err(self.late(deadline.is_none_or(|deadline| at < deadline))),
        }
    }

    #[cold]
    fn late(&self, attempt: bool) -> CallFailure {
        let message = match self.timeout {
            Some(timeout) if attempt => format!("no answer within {} ms", timeout.as_millis()),
            _ => "the deadline passed before the answer came".to_owned(),
        };
        let error = CallError::new(Code::DeadlineExceeded, message);
        // Only the try was too slow: another one may still be in time. And what was sent cannot be taken back.
        CallError { retryable: attempt, maybe_applied: self.may_apply, ..error }.into()
    }
}

fn usual(contract: Option<&str>) -> Duration {
    match contract {
        Some("cache") => Duration::from_millis(250),
        Some("relational" | "documents" | "queue") => Duration::from_secs(2),
        Some("search") => Duration::from_secs(3),
        _ => Duration::from_secs(5),
    }
}
