//! What stands between a caller and a plugin. [`Stack::run`] reads as a list of reasons, outermost first.

mod attempt_timeout;
mod bulkhead;
mod deadline;
pub mod overrides;
mod wait;

pub use attempt_timeout::AttemptTimeout;
pub use bulkhead::{Bulkhead, DEFAULT as DEFAULT_BULKHEAD, Permit};
pub use deadline::Deadline;
pub use overrides::Overrides;

use crate::config::PolicySettings;
use crate::error::CallFailure;
use crate::request::Context;
use chassis_abi::manifest::{Effect, Operation};
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use wait::Wait;

/// The protection of one operation of one instance.
#[derive(Debug)]
pub struct Stack {
    instance: Bulkhead,
    operation: Option<Bulkhead>,
    wait: Option<Wait>,
    deadline: Deadline,
    attempt_timeout: AttemptTimeout,
}

impl Stack {
    /// The protection that `settings` and the operation's contract ask for. `instance` is shared by all operations.
    pub fn new(settings: &PolicySettings, operation: &Operation, instance: &Bulkhead) -> Self {
        let own = settings.operations.get(&operation.name);
        let limit = own.and_then(|own| own.bulkhead);
        let deadline = own.and_then(|own| own.deadline).or(settings.deadline);
        let timeout = own.and_then(|own| own.attempt_timeout).or(settings.attempt_timeout);
        Self {
            instance: instance.clone(),
            operation: limit.map(Bulkhead::new),
            wait: Wait::of(operation),
            deadline: Deadline::new(deadline.map(|span| span.0), operation),
            attempt_timeout: AttemptTimeout::new(timeout.map(|span| span.0), operation),
        }
    }

    /// What a caller asks to wait for, which is no slowness.
    pub fn wait(&self, input: &[u8]) -> Duration {
        self.wait.map(|wait| wait.of_input(input)).unwrap_or_default()
    }

    /// Sends a call through; its limits are longer by `wait`. `send` is given the time by which it must have answered, to be told to the plugin.
    pub async fn run<T, F>(
        &self,
        context: &Context,
        wait: Duration,
        send: impl FnOnce(Option<Instant>) -> F,
    ) -> Result<T, CallFailure>
    where
        F: Future<Output = Result<T, CallFailure>>,
    {
        // A slow backend must not take the whole host with it.
        let _permit = self.instance.enter()?;
        let _permit_of_operation = self.operation.as_ref().map(Bulkhead::enter).transpose()?;
        // Nobody waits for ever, whatever happens further in.
        let deadline = self.deadline.of(context, wait)?;
        // One try may not use up the time of the others.
        self.attempt_timeout.run(deadline, wait, send).await
    }
}

/// Whether a call that was given up may have taken effect.
fn may_apply(operation: &Operation) -> bool {
    operation.effect == Effect::Write
}

#[cfg(test)]
mod tests;
