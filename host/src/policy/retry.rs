//! Tries again what failed in passing: after a pause of any length up to one that doubles, only where a second time does no harm,
//! never past the deadline, and never more than the budget allows.

use super::budget::Budget;
use crate::config::policy::RetrySettings;
use crate::error::CallFailure;
use crate::request::Context;
use chassis_abi::Code;
use chassis_abi::manifest::{Effect, Operation};
use metrics::Counter;
use std::sync::Arc;
use tokio::time::Instant;

/// What is tried again of one operation.
pub struct Retry {
    settings: RetrySettings,
    repeats: Repeats,
    budget: Arc<Budget>,
    retried: Counter,
    exhausted: Counter,
}

/// When an operation may be sent a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeats {
    /// It takes what it is sent away with it (an upload), or takes from its server (a message).
    Never,
    /// After a failure that says that nothing was done.
    Undone,
    /// Also when the call has a key, under which it takes effect once.
    Keyed,
    /// Whenever it is worth it.
    Always,
}

impl Retry {
    /// For an operation. `retried` counts its retries, `exhausted` those that the budget did not allow.
    pub fn new(
        settings: RetrySettings,
        operation: &Operation,
        budget: Arc<Budget>,
        retried: Counter,
        exhausted: Counter,
    ) -> Self {
        let repeats = match operation {
            Operation { upload: true, .. } => Repeats::Never,
            Operation { idempotent: true, .. } => Repeats::Always,
            Operation { keyed: true, .. } => Repeats::Keyed,
            Operation { effect: Effect::Write, .. } => Repeats::Undone,
            Operation { .. } => Repeats::Never,
        };
        Self { settings, repeats, budget, retried, exhausted }
    }

    /// What it keeps to.
    pub fn settings(&self) -> RetrySettings {
        self.settings
    }

    /// A call is asked for: a share of it is credit for retries.
    pub fn asked(&self, now: Instant) {
        self.budget.asked(now);
    }

    /// Whether another try may follow the one of this number, so that its input is to be kept.
    pub fn may_follow(&self, context: &Context, number: u32) -> bool {
        self.repeats != Repeats::Never && number <= self.most(context)
    }

    /// When to try again after the try of this number failed now; `None` if that is its end.
    #[cold]
    pub fn when(
        &self,
        context: &Context,
        number: u32,
        failure: &CallFailure,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Option<Instant> {
        let worth_it = failure.error.retryable && failure.refused_by.is_none();
        if !worth_it || !self.may_follow(context, number) || !self.harmless(context, failure) {
            return None;
        }
        let (first, longest) = (self.settings.first.0, self.settings.longest.0);
        let most = first.saturating_mul(1 << (number - 1).min(16)).min(longest);
        // Any part of it ("full jitter"): those that failed together do not come back together.
        let pause = most.mul_f64(fastrand::f64()).max(failure.error.retry_after.unwrap_or_default());
        let at = now.checked_add(pause)?;
        if deadline.is_some_and(|deadline| at >= deadline) {
            return None;
        }
        if !self.budget.take(now) {
            self.exhausted.increment(1);
            return None;
        }
        self.retried.increment(1);
        Some(at)
    }

    fn most(&self, context: &Context) -> u32 {
        context.overrides.as_deref().and_then(|own| own.retries).unwrap_or(self.settings.retries)
    }

    fn harmless(&self, context: &Context, failure: &CallFailure) -> bool {
        match self.repeats {
            Repeats::Never => false,
            Repeats::Always => true,
            Repeats::Keyed if context.idempotency_key.is_some() => true,
            // No server was there to be asked. (One that gave up half way says `aborted`, and was asked.)
            Repeats::Keyed | Repeats::Undone => {
                failure.code() == Code::Unavailable && !failure.error.maybe_applied
            }
        }
    }
}

impl std::fmt::Debug for Retry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retry").field("settings", &self.settings).field("repeats", &self.repeats).finish()
    }
}
