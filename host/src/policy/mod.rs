//! What stands between a caller and a plugin. [`Stack::run`] reads as a list of reasons, outermost first.

mod admission;
mod attempt_timeout;
mod breaker;
mod budget;
mod bulkhead;
pub mod coalesce;
mod deadline;
pub mod meters;
pub mod overrides;
mod retry;
mod shared;
mod shown;
mod wait;
mod window;

pub use admission::{Rate, TenantRates};
pub use attempt_timeout::AttemptTimeout;
pub use breaker::{Breaker, Permit as BreakerPermit, Shown as BreakerShown, State as BreakerState};
pub use budget::Budget;
pub use bulkhead::{Bulkhead, DEFAULT as DEFAULT_BULKHEAD, Permit};
pub use deadline::Deadline;
pub use meters::Meters;
pub use overrides::Overrides;
pub use retry::Retry;
pub use shared::Shared;

use crate::config::PolicySettings;
use crate::config::policy::{CoalesceSettings, Switch};
use crate::error::CallFailure;
use crate::request::Context;
use chassis_abi::manifest::{Effect, Operation};
use metrics::Counter;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};
use wait::Wait;

/// Policies that refuse calls, by the names that refusals carry.
pub const REFUSING: [&str; 4] = ["admission", "bulkhead", "breaker", "deadline"];

/// The protection of one operation of one instance.
#[derive(Debug)]
pub struct Stack {
    instance: Arc<Shared>,
    rate: Option<Rate>,
    bulkhead: Option<Bulkhead>,
    wait: Option<Wait>,
    deadline: Deadline,
    retry: Option<Retry>,
    breaker: Option<Arc<Breaker>>,
    attempt_timeout: AttemptTimeout,
    coalesce: Option<CoalesceSettings>,
}

/// One try, as who sends it sees it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Counts from 1.
    pub number: u32,
    /// When it begins.
    pub now: Instant,
    /// The time by which it must have answered, to be told to the plugin.
    pub told: Option<Instant>,
    /// Whether another may follow, so that the input is to be kept.
    pub another: bool,
    /// How and when the one before it failed.
    pub failed: Option<(&'a CallFailure, Instant)>,
}

impl Stack {
    /// The protection that `settings` and the operation's contract ask for. `instance` is shared by all operations.
    pub fn new(
        settings: &PolicySettings,
        operation: &Operation,
        instance: &Arc<Shared>,
        retried: Counter,
        now: Instant,
    ) -> Self {
        let own = settings.operations.get(&operation.name).unwrap_or(settings);
        let limits = settings.operations.get(&operation.name);
        let retry = match own.retry.or(settings.retry) {
            Some(Switch::Off) => None,
            Some(Switch::On(settings)) => Some(settings),
            None => Some(Default::default()),
        };
        let retry = retry.map(|settings| {
            let exhausted = instance.meters.budget_exhausted.clone();
            Retry::new(settings, operation, instance.budget.clone(), retried, exhausted)
        });
        Self {
            rate: limits.and_then(|own| Switch::on(&own.rate_limit)).map(|rate| Rate::new(*rate, now)),
            bulkhead: limits.and_then(|own| Switch::on(&own.bulkhead)).map(|count| Bulkhead::new(count.0)),
            wait: Wait::of(operation),
            deadline: Deadline::new(own.deadline.or(settings.deadline), operation),
            retry,
            breaker: match limits.and_then(|own| own.breaker) {
                None => instance.breaker.clone(),
                Some(Switch::Off) => None,
                Some(Switch::On(breaker)) => {
                    let name = format!("{}.{}", instance.name, operation.name);
                    Some(Arc::new(Breaker::new(name.into(), breaker, instance.meters.clone(), now)))
                }
            },
            attempt_timeout: AttemptTimeout::new(own.attempt_timeout.or(settings.attempt_timeout), operation),
            coalesce: match own.coalesce.or(settings.coalesce) {
                Some(Switch::Off) => None,
                Some(Switch::On(settings)) => Some(settings),
                None => (!operation.pipelined).then(CoalesceSettings::default),
            }
            .filter(|_| operation.batched_by.is_some()),
            instance: instance.clone(),
        }
    }

    /// How its calls are gathered, by who sends them.
    pub fn coalesce(&self) -> Option<CoalesceSettings> {
        self.coalesce
    }

    /// What a caller asks to wait for, which is no slowness.
    pub fn wait(&self, input: &[u8]) -> Duration {
        self.wait.map(|wait| wait.of_input(input)).unwrap_or_default()
    }

    /// The breaker that watches this operation alone, if it has one.
    pub fn own_breaker(&self) -> Option<&Arc<Breaker>> {
        let shared = self.instance.breaker.as_ref();
        self.breaker.as_ref().filter(|own| shared.is_none_or(|shared| !Arc::ptr_eq(own, shared)))
    }

    /// Sends a call that begins now through; its limits are longer by `wait`. `send` makes one try, and is called again for each retry.
    pub async fn run<T, F>(
        &self,
        context: &Context,
        now: Instant,
        wait: Duration,
        mut send: impl FnMut(Attempt<'_>) -> F,
    ) -> Result<T, CallFailure>
    where
        F: Future<Output = Result<T, CallFailure>>,
    {
        // More than was agreed is turned away before it costs anything.
        self.instance.admit(context, now)?;
        self.rate.as_ref().map_or(Ok(()), |rate| rate.admit(now))?;
        // A slow backend must not take the whole host with it.
        let _place = self.instance.bulkhead.enter()?;
        let _place_of_operation = self.bulkhead.as_ref().map(Bulkhead::enter).transpose()?;
        // Nobody waits for ever, whatever happens further in.
        let deadline = self.deadline.of(context, now, wait)?;
        // What fails in passing is tried again, where that does no harm.
        self.retry.iter().for_each(|retry| retry.asked(now));
        let mut begun = now;
        let mut number = 1;
        let mut failed: Option<(CallFailure, Instant)> = None;
        loop {
            // A backend that is down is spared, and its callers know at once.
            let permit = match self.breaker.as_ref().map(|breaker| breaker.enter(begun)).transpose() {
                Ok(permit) => permit,
                Err(refusal) => return Err(failed.map_or(refusal, |(earlier, _)| earlier)),
            };
            // One try may not use up the time of the others.
            let limit = self.attempt_timeout.of(context, begun, deadline, wait);
            let another = self.retry.as_ref().is_some_and(|retry| retry.may_follow(context, number));
            let earlier = failed.as_ref().map(|(failure, at)| (failure, *at));
            let attempt = Attempt { number, now: begun, told: limit.told, another, failed: earlier };
            // And calls that come while others are under way go together: see `coalesce`.
            let result = match timeout_at(limit.at, send(attempt)).await {
                Ok(result) => result,
                Err(_) => Err(limit.late()),
            };
            if let Some(permit) = permit {
                permit.report(&result, self.fair(limit.at.saturating_duration_since(begun)));
            }
            let mut failure = match result {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            // What an earlier try may have done, it may have done for good.
            failure.error.maybe_applied |= failed.is_some_and(|(earlier, _)| earlier.error.maybe_applied);
            let now = Instant::now();
            let Some(at) = self.again(context, number, &failure, deadline, now) else { return Err(failure) };
            failed = Some((failure, now));
            sleep_until(at).await;
            begun = Instant::now();
            number += 1;
        }
    }

    /// Whether a try was given the time that is configured. Who has none to give learns nothing of the backend.
    fn fair(&self, given: Duration) -> bool {
        self.attempt_timeout.usual().or(self.deadline.usual()).is_none_or(|usual| given >= usual)
    }

    #[cold]
    fn again(
        &self,
        context: &Context,
        number: u32,
        failure: &CallFailure,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Option<Instant> {
        if self.breaker.as_ref().is_some_and(|breaker| breaker.is_open(now)) {
            return None;
        }
        self.retry.as_ref()?.when(context, number, failure, deadline, now)
    }
}

/// Whether a call that was given up may have taken effect.
fn may_apply(operation: &Operation) -> bool {
    operation.effect == Effect::Write
}

#[cfg(test)]
mod tests;
