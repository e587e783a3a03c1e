//! How a run ended.

use super::clock;
use super::state::{RunState, StepState};
use crate::error::CallFailure;
use crate::journal::Millis;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::sync::Arc;

/// A run and its steps.
#[derive(Clone, Debug, Serialize)]
pub struct RunOutcome {
    /// Its id.
    pub run_id: String,
    /// The flow.
    pub flow: String,
    /// `completed`, `undone`, `cancelled` or `stuck`.
    pub state: RunState,
    /// What the flow answers; `null` unless it completed.
    pub output: Value,
    /// Why it did not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
    /// How long it took, in milliseconds, with its undo.
    pub ms: f64,
    /// Its trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Its steps, in the order of the file.
    pub steps: Vec<StepOutcome>,
}

/// Why a run did not complete.
#[derive(Clone, Debug, Serialize)]
pub struct RunError {
    /// The step that failed first; `output` where the answer could not be made.
    pub step: String,
    /// Why.
    #[serde(flatten, serialize_with = "document")]
    pub failure: CallFailure,
}

/// A step of a run.
#[derive(Clone, Debug, Serialize)]
pub struct StepOutcome {
    /// Its name.
    pub name: String,
    /// What it calls: `users.insert`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub call: String,
    /// How it stands.
    pub state: StepState,
    /// How long its call took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
    /// How often it was sent.
    pub attempts: u32,
    /// When it was first sent.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time")]
    pub started: Option<Millis>,
    /// When it had ended.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time")]
    pub ended: Option<Millis>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_document")]
    pub error: Option<CallFailure>,
    /// It failed, and the flow went on with this in place of its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<Value>,
    /// Its undo, if that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoOutcome>,
    /// What it was called with. Not shown: it may hold what is nobody's business.
    #[serde(skip)]
    pub input: Arc<Value>,
    /// What its call answered; `null` until that is known.
    #[serde(skip)]
    pub output: Value,
}

/// An undo that was tried.
#[derive(Clone, Debug, Default, Serialize)]
pub struct UndoOutcome {
    /// What it calls: `users.delete`.
    pub call: String,
    /// How long its last call took, in milliseconds.
    pub ms: f64,
    /// How often it was sent.
    pub attempts: u32,
    /// How often it failed since it was last begun.
    #[serde(skip)]
    pub tries: u32,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_document")]
    pub error: Option<CallFailure>,
}

impl RunOutcome {
    /// Whether every step ended well.
    pub fn completed(&self) -> bool {
        self.state == RunState::Completed
    }

    /// A step by name.
    pub fn step(&self, name: &str) -> Option<&StepOutcome> {
        self.steps.iter().find(|step| step.name == name)
    }
}

impl StepOutcome {
    /// A step that has not begun.
    pub(crate) fn new(name: &str, call: String) -> Self {
        Self {
            name: name.to_owned(),
            call,
            state: StepState::NotRun,
            ms: None,
            attempts: 0,
            started: None,
            ended: None,
            error: None,
            instead: None,
            undo: None,
            input: Arc::default(),
            output: Value::Null,
        }
    }
}

fn time<S: Serializer>(at: &Option<Millis>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(clock::text).serialize(serializer)
}

fn document<S: Serializer>(failure: &CallFailure, serializer: S) -> Result<S::Ok, S::Error> {
    failure.document().serialize(serializer)
}

fn optional_document<S: Serializer>(failure: &Option<CallFailure>, serializer: S) -> Result<S::Ok, S::Error> {
    failure.as_ref().map(CallFailure::document).serialize(serializer)
}
