//! How a fault happens to a call.

use super::rule::Rule;
use super::spec::Kind;
use chassis_abi::Code;
use chassis_abi::call::OPERATION_PANIC;
use chassis_loader::{Call, CallError, Reply, Supervised};
use std::future::pending;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What happens to one call.
#[derive(Debug)]
pub struct Injected {
    rule: Arc<Rule>,
    delay: Duration,
}

/// The names of the faults that a call met, for its span; the first one is kept.
pub type Met = OnceLock<Arc<str>>;

impl Injected {
    pub(super) fn new(rule: Arc<Rule>) -> Self {
        Self { rule, delay: Duration::ZERO }
    }

    /// Takes in one more rule that is due; false when no other can be added.
    pub(super) fn and(&mut self, rule: &Arc<Rule>) -> bool {
        self.delay += rule.spec.latency.map_or(Duration::ZERO, |span| span.0);
        self.rule = rule.clone();
        rule.spec.kind == Kind::Latency
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.rule.name
    }

    /// Sends a call over the boundary, or does to it what is to happen.
    pub async fn happen(self, boundary: &Supervised, mut call: Call) -> Result<Reply, CallError> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        match self.rule.spec.kind {
            Kind::Error => Err(self.error()),
            Kind::Latency | Kind::Crash => boundary.call(call).await,
            Kind::TimeoutBefore => pending().await,
            Kind::TimeoutAfter => {
                let _lost = boundary.call(call).await;
                pending().await
            }
            Kind::Panic => {
                call.operation = OPERATION_PANIC;
                call.upload = None;
                boundary.call(call).await
            }
        }
    }

    fn error(&self) -> CallError {
        let spec = &self.rule.spec;
        let message = spec.message.clone().unwrap_or_else(|| format!("the fault `{}`", self.rule.name));
        let error = CallError::new(spec.code.unwrap_or(Code::Unavailable), message);
        CallError { retryable: spec.retryable, maybe_applied: spec.maybe_applied, ..error }
    }
}
