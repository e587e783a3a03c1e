//! What the policies count. Handles are made when an instance is; tests have some that count nothing.

use super::breaker::State;
use metrics::Counter;

/// The counters of one instance's policies.
#[derive(Clone)]
pub struct Meters {
    /// `chassis_retry_budget_exhausted_total`
    pub budget_exhausted: Counter,
    /// `chassis_breaker_transitions_total`, by the state gone to: closed, half-open, open.
    pub transitions: [Counter; 3],
}

impl Meters {
    pub(super) fn turned(&self, to: State) {
        self.transitions[to as usize].increment(1);
    }
}

impl Default for Meters {
    fn default() -> Self {
        Self { budget_exhausted: Counter::noop(), transitions: [const { Counter::noop() }; 3] }
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meters")
    }
}
