//! Everything that can happen to a run, and how it stands in the journal. A kind is never taken away or changed: a later build must
//! read what an earlier one wrote. A kind that is not known is refused: what it did would be missing.

use super::failure::FailureRecord;
use super::record::{Entry, EntryRow, Millis};
use crate::flow::state::RunState;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// A step, or an item of one that runs once for each of a list: `entry`, `entry[3]`.
pub type Unit = Arc<str>;

/// An entry that this build cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A later build wrote it.
    #[error("entry {seq} is of the kind `{kind}`, which this build does not know: a later one wrote it")]
    Kind {
        /// The entry's place.
        seq: i64,
        /// Its kind.
        kind: String,
    },
    /// It is damaged.
    #[error("entry {seq} ({kind}) cannot be read: {reason}")]
    Payload {
        /// The entry's place.
        seq: i64,
        /// Its kind.
        kind: String,
        /// Why.
        reason: String,
    },
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $kind:literal: $payload:ty;)*) => {
        /// Something that happened to a run.
        #[derive(Clone, Debug)]
        pub enum Event {
            $($(#[$doc])* $variant($payload),)*
        }

        impl Event {
            /// Every kind there is, as the journal names them.
            pub const KINDS: &[&str] = &[$($kind),*];

            /// Its kind, as the journal names it.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(..) => $kind,)* }
            }

            /// As it is stored.
            pub fn row(&self, seq: i64, at: Millis) -> EntryRow {
                let (step, payload) = match self { $(Self::$variant(body) => (body.unit(), body.json()),)* };
                EntryRow { seq, kind: self.kind().to_owned(), step, payload, at }
            }

            /// Reads what is stored.
            pub fn read(row: &EntryRow) -> Result<Entry, Unreadable> {
                let event = match row.kind.as_str() {
                    $($kind => <$payload>::read(row.step.as_ref(), &row.payload).map(Self::$variant),)*
                    _ => return Err(Unreadable::Kind { seq: row.seq, kind: row.kind.clone() }),
                };
                match event {
                    Ok(event) => Ok(Entry { seq: row.seq, at: row.at, event }),
                    Err(reason) => {
                        Err(Unreadable::Payload { seq: row.seq, kind: row.kind.clone(), reason })
                    }
                }
            }
        }
    };
}

events! {
    /// A step is about to be sent.
    StepStarted = "step_started": OfStep<Started>;
    /// Nobody knows how the step ended; it is about to be sent again with the same key.
    StepRepeated = "step_repeated": OfStep<Nothing>;
    /// A step's condition does not hold.
    StepSkipped = "step_skipped": OfStep<Nothing>;
    /// A step ended well.
    StepSucceeded = "step_succeeded": OfStep<Succeeded>;
    /// A step ended badly.
    StepFailed = "step_failed": OfStep<Failed>;
    /// The run goes back: a step failed.
    RunFailed = "run_failed": Reason;
    /// The run goes back: somebody cancelled it.
    RunCancelled = "run_cancelled": Cancelled;
    /// The run goes back after all: the one that it is a part of does.
    RunReverted = "run_reverted": Reverted;
    /// The undo of a step is about to be sent.
    UndoStarted = "undo_started": OfStep<UndoStarted>;
    /// Nothing is left of a step.
    UndoSucceeded = "undo_succeeded": OfStep<UndoSucceeded>;
    /// The undo of a step ended badly.
    UndoFailed = "undo_failed": OfStep<UndoFailed>;
    /// Somebody said to leave what could not be undone.
    UndoSkipped = "undo_skipped": OfStep<Nothing>;
    /// Something could not be undone.
    RunStuck = "run_stuck": Nothing;
    /// Somebody said to try again what could not be undone.
    RunResumed = "run_resumed": Nothing;
    /// Another host, or another life of the same one, goes on with the run.
    RunTaken = "run_taken": Taken;
    /// The run is over.
    RunEnded = "run_ended": Ended;
}

/// Something that happened to a step.
#[derive(Clone, Debug)]
pub struct OfStep<T> {
    /// The step, or item.
    pub unit: Unit,
    /// What.
    pub is: T,
}

/// Nothing more to say.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Nothing {}

/// With what a step is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Started {
    /// What it calls: `users.insert`.
    pub call: String,
    /// Its input; the list, for a step that runs once for each item.
    pub input: Arc<Value>,
}

/// How a step ended well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Succeeded {
    /// What it answered.
    pub output: Value,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

/// How a step ended badly.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failed {
    /// Why.
    pub failure: FailureRecord,
    /// Whether the effect is or may be there.
    #[serde(default)]
    pub unsure: bool,
    /// What it answered, if it did.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
    /// How long it took, in milliseconds; none if it was never sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
    /// The flow goes on all the same, with this in place of the step's output.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub instead: Option<Value>,
}

/// Why a run goes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reason {
    /// The step that failed first; `output` where the answer could not be made.
    pub step: String,
    /// Why.
    pub failure: FailureRecord,
}

/// Why a run was cancelled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cancelled {
    /// In the words of whoever did.
    pub reason: String,
}

/// On whose behalf a run that had completed is undone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reverted {
    /// The run that it is a part of.
    pub parent: String,
}

/// With what an undo is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UndoStarted {
    /// What it calls: `users.delete`.
    pub call: String,
    /// Its input.
    pub input: Value,
}

/// How an undo ended well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UndoSucceeded {
    /// How long it took, in milliseconds, its last try.
    pub ms: f64,
}

/// How an undo ended badly.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UndoFailed {
    /// Why.
    pub failure: FailureRecord,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// Whether it was the last try.
    pub last: bool,
}

/// Who goes on with a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Taken {
    /// The host, for a person.
    pub host: String,
}

/// How a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// `completed`, `undone` or `cancelled`.
    pub state: RunState,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
}

/// What an event has beside its kind.
trait Body: Sized {
    fn unit(&self) -> Option<Unit>;
    fn json(&self) -> String;
    fn read(step: Option<&Unit>, payload: &str) -> Result<Self, String>;
}

/// What happens to the run, not to one of its steps.
trait OfRun: Serialize + DeserializeOwned {}

impl OfRun for Nothing {}
impl OfRun for Reason {}
impl OfRun for Cancelled {}
impl OfRun for Reverted {}
impl OfRun for Taken {}
impl OfRun for Ended {}

impl<T: OfRun> Body for T {
    fn unit(&self) -> Option<Unit> {
        None
    }

    fn json(&self) -> String {
        text(self)
    }

    fn read(_: Option<&Unit>, payload: &str) -> Result<Self, String> {
        serde_json::from_str(payload).map_err(|error| error.to_string())
    }
}

impl<T: Serialize + DeserializeOwned> Body for OfStep<T> {
    fn unit(&self) -> Option<Unit> {
        Some(self.unit.clone())
    }

    fn json(&self) -> String {
        text(&self.is)
    }

    fn read(step: Option<&Unit>, payload: &str) -> Result<Self, String> {
        let unit = step.cloned().ok_or("it names no step")?;
        let is = serde_json::from_str(payload).map_err(|error| error.to_string())?;
        Ok(Self { unit, is })
    }
}

/// JSON of what has text for keys and finite numbers only, and so always has one.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned())
}

/// `null` is a value that a flow may go on with; only what is not written is none.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
