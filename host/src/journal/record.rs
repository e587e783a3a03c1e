//! What a journal holds: rows of runs, and the entries that say what happened to each.

use super::event::Event;
use crate::flow::state::RunState;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Milliseconds since 1970.
pub type Millis = i64;

/// A run's row: what it was started with, who has it, and how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// Its id: a UUID whose order is that of the starts.
    pub id: Arc<str>,
    /// The flow.
    pub flow: String,
    /// The version of the flow, see [`FlowVersion::hash`].
    pub version: String,
    /// On whose behalf; empty for nobody's.
    pub tenant: String,
    /// Its idempotency key.
    pub key: Option<String>,
    /// Hash of the input: the same key may not be used for another one.
    pub body: String,
    /// How it stands.
    pub state: RunState,
    /// Its input as JSON, as the flow accepted it.
    pub input: String,
    /// What it inherits, as JSON: a [`RunContext`].
    pub context: String,
    /// The run and step that started it: `RUN/STEP`.
    pub parent: Option<String>,
    /// What it answered, as JSON.
    pub output: Option<String>,
    /// Why it failed, as JSON.
    pub error: Option<String>,
    /// Somebody wants it to be cancelled, and why.
    pub cancel: Option<String>,
    /// When it was started.
    pub created: Millis,
    /// When its state last changed.
    pub updated: Millis,
    /// When it ended.
    pub ended: Option<Millis>,
    /// The host that has it.
    pub owner: Option<String>,
    /// Counts the hosts that had it: who has an older number has lost it.
    pub fence: i64,
}

/// What a run inherits from where it came from, and what must be the same after it was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunContext {
    /// The span of the run, as `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// `tracestate` of that span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// When its undo begins, if it has not ended before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Millis>,
    /// On whose behalf its calls are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// A version of a flow, kept for the runs that were started with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowVersion {
    /// Hash of its text.
    pub hash: String,
    /// The flow's name.
    pub name: String,
    /// Its file.
    pub text: String,
}

/// Something that happened to a run.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the run, from 1.
    pub seq: i64,
    /// When.
    pub at: Millis,
    /// What.
    pub event: Event,
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    /// Its place in the run, from 1.
    pub seq: i64,
    /// What happened: `step_started`.
    pub kind: String,
    /// To which step, or item of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Arc<str>>,
    /// The rest, as JSON.
    pub payload: String,
    /// When.
    pub at: Millis,
}

/// A change of a run's row.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// How it stands now.
    pub state: RunState,
    /// What it answers.
    pub output: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// When.
    pub at: Millis,
    /// Who has it now is to have it no longer: whoever wants may take it.
    pub release: bool,
}

/// What is written at once, or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The run.
    pub run: Arc<str>,
    /// The number with which the writer has it.
    pub fence: i64,
    /// The row, if the run begins with this.
    pub new: Option<Box<RunRow>>,
    /// What happened.
    pub entries: Vec<EntryRow>,
    /// What it changes in the row.
    pub turn: Option<Turn>,
}

/// What came of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable.
    Written,
    /// Nothing was written: there is a run with this key.
    Duplicate,
    /// Nothing was written: another host has the run now.
    Lost,
}

/// Which runs to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this flow only.
    pub flow: Option<String>,
    /// In this state only.
    pub state: Option<RunState>,
    /// Started at this time or later.
    pub since: Option<Millis>,
    /// Only those before this one: the last of the page before.
    pub before: Option<String>,
    /// At most so many.
    pub limit: u32,
}

impl RunRow {
    /// Applies a change.
    pub fn turn(&mut self, turn: &Turn) {
        self.state = turn.state;
        self.output.clone_from(&turn.output);
        self.error.clone_from(&turn.error);
        self.updated = turn.at;
        self.ended = turn.state.is_ended().then_some(turn.at);
        if turn.release {
            self.owner = None;
        }
    }
}

impl Filter {
    /// Whether it lets a run through; paging aside.
    pub fn takes(&self, run: &RunRow) -> bool {
        self.flow.as_ref().is_none_or(|flow| *flow == run.flow)
            && self.state.is_none_or(|state| state == run.state)
            && self.since.is_none_or(|since| run.created >= since)
            && self.before.as_ref().is_none_or(|before| *run.id < **before)
    }
}
