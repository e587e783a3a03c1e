//! What a run still has to do on its way forward.

use super::job::Job;
use super::progress::Stop;
use crate::error::CallFailure;
use crate::flow::plan::Plan;
use std::collections::{BTreeMap, VecDeque};
use tokio::time::Instant;

/// What a run still has to do on its way forward.
pub(super) struct Remaining {
    pub plan: Plan,
    /// Steps whose turn it is.
    pub ready: VecDeque<usize>,
    /// What is to be sent: its intent is recorded.
    pub sends: Vec<Job>,
    /// Whether the intents must be durable before.
    pub must_wait: bool,
    /// Why nothing new begins.
    pub ending: Option<Ending>,
    /// Why this host goes no further. What is under way is waited for.
    pub stop: Option<Stop>,
    /// Steps that are done for each item of a list, and are not over.
    pub lists: BTreeMap<usize, List>,
}

/// Why the way forward ends early.
pub(super) enum Ending {
    Failed { unit: String, failure: CallFailure },
    Cancelled,
}

/// The items of a step.
pub(super) struct List {
    pub length: usize,
    /// The first one that has not been looked at.
    pub next: usize,
    /// Those that are under way.
    pub busy: usize,
    pub begun: Instant,
}

impl Remaining {
    pub fn new(plan: Plan, ready: Vec<usize>) -> Self {
        Self {
            plan,
            ready: ready.into(),
            sends: Vec::new(),
            must_wait: false,
            ending: None,
            stop: None,
            lists: BTreeMap::new(),
        }
    }

    /// The first failure counts.
    pub fn fail(&mut self, unit: &str, failure: CallFailure) {
        if self.ending.is_none() {
            self.ending = Some(Ending::Failed { unit: unit.to_owned(), failure });
        }
    }

    /// Whether something new may begin.
    pub fn goes_on(&self) -> bool {
        self.ending.is_none() && self.stop.is_none()
    }

    /// A step ended, and others may begin.
    pub fn ended(&mut self, step: usize) {
        self.ready.extend(self.plan.ended(step));
    }
}

impl List {
    pub fn new(length: usize) -> Self {
        Self { length, next: 0, busy: 0, begun: Instant::now() }
    }

    pub fn is_over(&self) -> bool {
        self.busy == 0 && self.next == self.length
    }
}
