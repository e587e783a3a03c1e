//! The states of a run and of its steps. Every transition there is stands in the two tables here.

use serde::{Deserialize, Serialize};

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Steps are being run.
    Running,
    /// A step failed, or somebody cancelled it: what was done is being taken back.
    Undoing,
    /// Every step ended well.
    Completed,
    /// A step failed, and nothing is left of the others.
    Undone,
    /// Something could not be taken back. It waits for `resume` or `skip`.
    Stuck,
    /// Somebody cancelled it, and nothing is left.
    Cancelled,
}

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// The last step ended well.
    Finish,
    /// A step failed.
    Fail,
    /// Somebody cancels it.
    Cancel,
    /// Everything is taken back after a failure.
    FinishUndo,
    /// Everything is taken back after it was cancelled.
    FinishCancel,
    /// Something cannot be taken back.
    Block,
    /// Somebody wants its undo to be tried again, or a step of it left as it is.
    Resume,
    /// The run that it is a part of is undone.
    Revert,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun; it stays so when another one fails before its turn.
    NotRun,
    /// Its condition did not hold.
    Skipped,
    /// Sent.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly, without an effect.
    Failed,
    /// Ended badly; the effect is there or may be there.
    MaybeApplied,
    /// Its effect is being taken back.
    Undoing,
    /// Nothing is left of its effect.
    Undone,
    /// Its effect could not be taken back.
    UndoFailed,
    /// Its effect could not be taken back, and somebody said to leave it.
    UndoSkipped,
}

/// What happens to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEvent {
    /// It is sent.
    Start,
    /// It is sent again: nobody knows how it ended.
    Repeat,
    /// Its condition does not hold.
    Skip,
    /// It ends well.
    Succeed,
    /// It ends badly, without an effect.
    Fail,
    /// It ends badly, and the effect is there or may be there.
    FailUnsure,
    /// Its undo is sent.
    Undo,
    /// Its undo ends well.
    FinishUndo,
    /// Its undo ends badly, and is tried again.
    RetryUndo,
    /// Its undo ends badly for the last time.
    FailUndo,
    /// Somebody says to leave its effect.
    SkipUndo,
}

impl RunState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Undoing, Self::Completed, Self::Undone, Self::Stuck, Self::Cancelled];

    /// The next state; `None` where there is no such transition.
    pub fn after(self, event: RunEvent) -> Option<Self> {
        use RunEvent as On;
        Some(match (self, event) {
            (Self::Running, On::Finish) => Self::Completed,
            (Self::Running, On::Fail | On::Cancel) => Self::Undoing,
            (Self::Undoing, On::FinishUndo) => Self::Undone,
            (Self::Undoing, On::FinishCancel) => Self::Cancelled,
            (Self::Undoing, On::Block) => Self::Stuck,
            (Self::Stuck, On::Resume) => Self::Undoing,
            (Self::Completed, On::Revert) => Self::Undoing,
            _ => return None,
        })
    }

    /// Whether there is work left that the host does by itself.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Undoing)
    }

    /// Whether nothing is left to do, for anybody.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Undone | Self::Cancelled)
    }

    /// Its name, in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Undoing => "undoing",
            Self::Completed => "completed",
            Self::Undone => "undone",
            Self::Stuck => "stuck",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl StepState {
    /// The next state; `None` where there is no such transition.
    pub fn after(self, event: StepEvent) -> Option<Self> {
        use StepEvent as On;
        Some(match (self, event) {
            (Self::NotRun, On::Start) => Self::Running,
            (Self::NotRun, On::Skip) => Self::Skipped,
            (Self::NotRun, On::Fail) => Self::Failed,
            (Self::Running, On::Repeat) => Self::Running,
            (Self::Running, On::Succeed) => Self::Completed,
            (Self::Running, On::Fail) => Self::Failed,
            (Self::Running, On::FailUnsure) => Self::MaybeApplied,
            (Self::Completed | Self::MaybeApplied | Self::UndoFailed, On::Undo) => Self::Undoing,
            (Self::Undoing, On::Undo | On::RetryUndo) => Self::Undoing,
            (Self::Undoing, On::FinishUndo) => Self::Undone,
            (Self::Undoing, On::FailUndo) => Self::UndoFailed,
            (Self::UndoFailed, On::SkipUndo) => Self::UndoSkipped,
            _ => return None,
        })
    }

    /// Whether there is or may be an effect to take back.
    pub fn has_effect(self) -> bool {
        matches!(self, Self::Completed | Self::MaybeApplied | Self::Undoing | Self::UndoFailed)
    }

    /// Its name, in JSON and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRun => "not_run",
            Self::Skipped => "skipped",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::MaybeApplied => "maybe_applied",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::UndoFailed => "undo_failed",
            Self::UndoSkipped => "undo_skipped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RUN_EVENTS: [RunEvent; 8] = [
        RunEvent::Finish,
        RunEvent::Fail,
        RunEvent::Cancel,
        RunEvent::FinishUndo,
        RunEvent::FinishCancel,
        RunEvent::Block,
        RunEvent::Resume,
        RunEvent::Revert,
    ];
    const STEP_EVENTS: [StepEvent; 11] = [
        StepEvent::Start,
        StepEvent::Repeat,
        StepEvent::Skip,
        StepEvent::Succeed,
        StepEvent::Fail,
        StepEvent::FailUnsure,
        StepEvent::Undo,
        StepEvent::FinishUndo,
        StepEvent::RetryUndo,
        StepEvent::FailUndo,
        StepEvent::SkipUndo,
    ];

    fn step_walk(events: &[StepEvent]) -> Vec<StepState> {
        let mut states = vec![StepState::NotRun];
        for event in events {
            let last = states[states.len() - 1];
            states.extend(last.after(*event));
        }
        states
    }

    proptest! {
        /// However a run is driven: it goes forward only before anything is taken back, it is stuck only while something is being
        /// taken back, and from an end there is no way but a completed run's undo.
        #[test]
        fn a_run_never_goes_forward_again(events in proptest::collection::vec(proptest::sample::select(&RUN_EVENTS), 0..40)) {
            let mut states = vec![RunState::Running];
            for event in events {
                let last = states[states.len() - 1];
                let Some(next) = last.after(event) else { continue };
                prop_assert!(!(last.is_ended() && last != RunState::Completed), "{:?} leads on to {:?}", last, next);
                prop_assert!(next != RunState::Running, "back to the start from {:?}", last);
                if last == RunState::Completed || last == RunState::Stuck {
                    prop_assert_eq!(next, RunState::Undoing);
                }
                states.push(next);
            }
            let undoing = states.iter().position(|state| *state == RunState::Undoing);
            if let Some(at) = undoing {
                prop_assert!(states[at..].iter().all(|state| !matches!(state, RunState::Running | RunState::Completed)));
            }
        }

        /// However a step is driven: it is sent once and answered once, and what may have an effect ends undone or is told.
        #[test]
        fn a_step_is_answered_once(events in proptest::collection::vec(proptest::sample::select(&STEP_EVENTS), 0..60)) {
            let states = step_walk(&events);
            let count = |wanted: StepState| states.windows(2).filter(|pair| pair[0] != wanted && pair[1] == wanted).count();
            prop_assert!(count(StepState::Running) <= 1);
            let answers = [StepState::Completed, StepState::Failed, StepState::MaybeApplied, StepState::Skipped];
            prop_assert!(answers.into_iter().map(count).sum::<usize>() <= 1);
            for pair in states.windows(2) {
                let (before, after) = (pair[0], pair[1]);
                if before.has_effect() && !after.has_effect() {
                    prop_assert!(matches!(after, StepState::Undone | StepState::UndoSkipped), "{:?} {:?}", before, after);
                }
            }
        }
    }

    #[test]
    fn every_state_is_reached() {
        let mut runs = vec![RunState::Running];
        let mut steps = vec![StepState::NotRun];
        for at in 0..100 {
            if let Some(state) = runs.get(at).copied() {
                let next = RUN_EVENTS.into_iter().filter_map(|event| state.after(event));
                let new: Vec<_> = next.filter(|next| !runs.contains(next)).collect();
                runs.extend(new);
            }
            if let Some(state) = steps.get(at).copied() {
                let next = STEP_EVENTS.into_iter().filter_map(|event| state.after(event));
                let new: Vec<_> = next.filter(|next| !steps.contains(next)).collect();
                steps.extend(new);
            }
        }
        assert!(RunState::ALL.iter().all(|state| runs.contains(state)));
        for state in ["undo_skipped", "undo_failed", "maybe_applied", "skipped", "failed", "undone"] {
            assert!(steps.iter().any(|reached| reached.as_str() == state), "{state}");
        }
    }

    #[test]
    fn names_read_back() {
        for state in RunState::ALL {
            assert_eq!(RunState::named(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert!(state.is_active() != (state.is_ended() || state == RunState::Stuck));
        }
    }
}
