//! How a run stands: the fold over its entries. The engine adds an entry and applies it here; a run that is taken over, shown or
//! replayed is read by the same code.

use super::event::{Event, Unit, Unreadable};
use super::record::{Entry, EntryRow, Millis};
use crate::error::CallFailure;
use crate::flow::run::{RunError, StepOutcome, UndoOutcome};
use crate::flow::state::{RunEvent, RunState, StepEvent, StepState};
use chassis_abi::Code;
use serde_json::Value;
use std::collections::HashMap;

/// A run, as its entries tell it.
#[derive(Clone, Debug)]
pub struct History {
    /// How it stands.
    pub state: RunState,
    /// Its steps: those of the flow in the order of its file, then items of lists as they began.
    pub steps: Vec<StepOutcome>,
    /// The steps that have or had an effect, in the order in which they ended.
    pub effects: Vec<usize>,
    /// Why it goes back.
    pub error: Option<RunError>,
    /// Whether somebody cancelled it.
    pub cancelled: bool,
    /// What it answered.
    pub output: Value,
    /// How often another host, or another life of one, went on with it.
    pub taken: u32,
    /// The last entry's place.
    pub seq: i64,
    places: HashMap<Unit, usize>,
}

/// Entries that are not those of a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// One cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// One says what cannot have happened then.
    #[error("entry {seq} ({kind}) cannot be: {reason}")]
    Impossible {
        /// The entry's place.
        seq: i64,
        /// Its kind.
        kind: &'static str,
        /// Why.
        reason: String,
    },
}

impl History {
    /// A run of which nothing has happened: the names of its steps, and what they call.
    pub fn new<'a>(steps: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let mut history = Self {
            state: RunState::Running,
            steps: Vec::new(),
            effects: Vec::new(),
            error: None,
            cancelled: false,
            output: Value::Null,
            taken: 0,
            seq: 0,
            places: HashMap::new(),
        };
        for (name, call) in steps {
            history.place(&Unit::from(name), call);
        }
        history
    }

    /// Applies stored entries.
    pub fn replay(&mut self, rows: &[EntryRow]) -> Result<(), Corrupt> {
        rows.iter().try_for_each(|row| self.apply(Event::read(row)?))
    }

    /// Applies an entry. After an error the run is as it was.
    pub fn apply(&mut self, entry: Entry) -> Result<(), Corrupt> {
        let (seq, kind) = (entry.seq, entry.event.kind());
        let impossible = |reason| Corrupt::Impossible { seq, kind, reason };
        if seq != self.seq + 1 {
            return Err(impossible(format!("it comes after entry {}", self.seq)));
        }
        self.happen(entry.at, entry.event).map_err(impossible)?;
        self.seq = seq;
        Ok(())
    }

    /// The place of a step or item.
    pub fn find(&self, unit: &str) -> Option<usize> {
        self.places.get(unit).copied()
    }

    /// What is left to be undone, the last one to end first.
    pub fn to_undo(&self) -> Vec<usize> {
        let left = |at: &usize| {
            matches!(
                self.steps[*at].state,
                StepState::Completed | StepState::MaybeApplied | StepState::Undoing | StepState::UndoFailed
            )
        };
        self.effects.iter().rev().copied().filter(left).collect()
    }

    /// What could not be undone.
    pub fn blocked(&self) -> impl Iterator<Item = &StepOutcome> {
        self.steps.iter().filter(|step| step.state == StepState::UndoFailed)
    }

    fn happen(&mut self, at: Millis, event: Event) -> Result<(), String> {
        match event {
            Event::StepStarted(of) => {
                let place = self.place(&of.unit, of.is.call);
                self.turn_step(place, StepEvent::Start)?;
                let step = &mut self.steps[place];
                (step.input, step.started, step.attempts) = (of.is.input, Some(at), 1);
            }
            Event::StepRepeated(of) => {
                let place = self.known(&of.unit);
                self.turn_step(place, StepEvent::Repeat)?;
                self.steps[place].attempts += 1;
            }
            Event::StepSkipped(of) => {
                let place = self.known(&of.unit);
                self.turn_step(place, StepEvent::Skip)?;
            }
            Event::StepSucceeded(of) => {
                let place = self.known(&of.unit);
                self.turn_step(place, StepEvent::Succeed)?;
                let step = &mut self.steps[place];
                (step.output, step.ms, step.ended) = (of.is.output, Some(of.is.ms), Some(at));
                self.effects.push(place);
            }
            Event::StepFailed(of) => {
                let place = self.known(&of.unit);
                let turn = if of.is.unsure { StepEvent::FailUnsure } else { StepEvent::Fail };
                self.turn_step(place, turn)?;
                let step = &mut self.steps[place];
                (step.output, step.ms, step.ended) = (of.is.output, of.is.ms, Some(at));
                step.error = Some(of.is.failure.into());
                step.instead = of.is.instead;
                if of.is.unsure {
                    self.effects.push(place);
                }
            }
            Event::RunFailed(reason) => {
                self.turn(RunEvent::Fail)?;
                self.error = Some(RunError { step: reason.step, failure: reason.failure.into() });
            }
            Event::RunCancelled(cancelled) => {
                self.turn(RunEvent::Cancel)?;
                self.cancelled = true;
                self.error = Some(of_run(Code::Cancelled, cancelled.reason));
            }
            Event::RunReverted(reverted) => {
                self.turn(RunEvent::Revert)?;
                let why = format!("the run {} that this one is a part of is undone", reverted.parent);
                self.error = Some(of_run(Code::Aborted, why));
                self.output = Value::Null;
            }
            Event::UndoStarted(of) => {
                let place = self.known(&of.unit);
                self.turn_step(place, StepEvent::Undo)?;
                let undo = self.steps[place].undo.get_or_insert_with(UndoOutcome::default);
                (undo.call, undo.tries) = (of.is.call, 0);
            }
            Event::UndoSucceeded(of) => {
                let place = self.known(&of.unit);
                self.turn_step(place, StepEvent::FinishUndo)?;
                let undo = self.steps[place].undo.get_or_insert_with(UndoOutcome::default);
                (undo.ms, undo.error) = (of.is.ms, None);
                undo.attempts += 1;
            }
            Event::UndoFailed(of) => {
                let place = self.known(&of.unit);
                let turn = if of.is.last { StepEvent::FailUndo } else { StepEvent::RetryUndo };
                self.turn_step(place, turn)?;
                let undo = self.steps[place].undo.get_or_insert_with(UndoOutcome::default);
                (undo.ms, undo.error) = (of.is.ms, Some(of.is.failure.into()));
                undo.attempts += 1;
                undo.tries += 1;
            }
            Event::UndoSkipped(of) => {
                let place = self.known(&of.unit);
                self.turn_step(place, StepEvent::SkipUndo)?;
            }
            Event::RunStuck(_) => self.turn(RunEvent::Block)?,
            Event::RunResumed(_) => self.turn(RunEvent::Resume)?,
            Event::RunTaken(_) => self.taken += 1,
            Event::RunEnded(ended) => {
                self.turn(match ended.state {
                    RunState::Completed => RunEvent::Finish,
                    RunState::Undone => RunEvent::FinishUndo,
                    RunState::Cancelled => RunEvent::FinishCancel,
                    other => return Err(format!("`{}` is no end", other.as_str())),
                })?;
                self.output = ended.output;
            }
        }
        Ok(())
    }

    fn turn(&mut self, event: RunEvent) -> Result<(), String> {
        let next = self.state.after(event);
        self.state = next.ok_or_else(|| format!("the run is {}", self.state.as_str()))?;
        Ok(())
    }

    fn turn_step(&mut self, place: usize, event: StepEvent) -> Result<(), String> {
        let step = &mut self.steps[place];
        let next = step.state.after(event);
        step.state = next.ok_or_else(|| format!("the step `{}` is {}", step.name, step.state.as_str()))?;
        Ok(())
    }

    fn known(&mut self, unit: &Unit) -> usize {
        // A step that failed or was skipped before it was sent has no entry before; the flow knows it, or else this one tells.
        self.place(unit, String::new())
    }

    fn place(&mut self, unit: &Unit, call: String) -> usize {
        if let Some(place) = self.places.get(unit) {
            return *place;
        }
        self.steps.push(StepOutcome::new(unit, call));
        self.places.insert(unit.clone(), self.steps.len() - 1);
        self.steps.len() - 1
    }
}

fn of_run(code: Code, why: String) -> RunError {
    RunError { step: "run".to_owned(), failure: CallFailure::new(code, why) }
}
