//! The states of a run and of its steps. Every transition there is stands in the two tables here.

use serde::Serialize;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Steps are being run.
    Running,
    /// A step failed: what was done is being taken back.
    Undoing,
    /// Every step ended well.
    Completed,
    /// A step failed, and nothing is left of the others.
    Undone,
    /// A step failed, and something could not be taken back.
    UndoFailed,
}

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// The last step ended well.
    Finish,
    /// A step failed.
    Fail,
    /// Everything is taken back.
    FinishUndo,
    /// Something could not be taken back.
    FailUndo,
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
}

/// What happens to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEvent {
    /// It is sent.
    Start,
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
    /// Its undo ends badly.
    FailUndo,
}

impl RunState {
    /// The next state; `None` where there is no such transition.
    pub fn after(self, event: RunEvent) -> Option<Self> {
        use RunEvent as On;
        Some(match (self, event) {
            (Self::Running, On::Finish) => Self::Completed,
            (Self::Running, On::Fail) => Self::Undoing,
            (Self::Undoing, On::FinishUndo) => Self::Undone,
            (Self::Undoing, On::FailUndo) => Self::UndoFailed,
            _ => return None,
        })
    }

    /// Its name, in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Undoing => "undoing",
            Self::Completed => "completed",
            Self::Undone => "undone",
            Self::UndoFailed => "undo_failed",
        }
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
            (Self::Running, On::Succeed) => Self::Completed,
            (Self::Running, On::Fail) => Self::Failed,
            (Self::Running, On::FailUnsure) => Self::MaybeApplied,
            (Self::Completed | Self::MaybeApplied, On::Undo) => Self::Undoing,
            (Self::Undoing, On::FinishUndo) => Self::Undone,
            (Self::Undoing, On::FailUndo) => Self::UndoFailed,
            _ => return None,
        })
    }

    /// Whether there is or may be an effect to take back.
    pub fn has_effect(self) -> bool {
        matches!(self, Self::Completed | Self::MaybeApplied)
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_STATES: [StepState; 9] = [
        StepState::NotRun,
        StepState::Skipped,
        StepState::Running,
        StepState::Completed,
        StepState::Failed,
        StepState::MaybeApplied,
        StepState::Undoing,
        StepState::Undone,
        StepState::UndoFailed,
    ];
    const STEP_EVENTS: [StepEvent; 8] = [
        StepEvent::Start,
        StepEvent::Skip,
        StepEvent::Succeed,
        StepEvent::Fail,
        StepEvent::FailUnsure,
        StepEvent::Undo,
        StepEvent::FinishUndo,
        StepEvent::FailUndo,
    ];

    fn nexts(state: StepState) -> Vec<StepState> {
        STEP_EVENTS.into_iter().filter_map(|event| state.after(event)).collect()
    }

    #[test]
    fn an_effect_leads_to_its_undo_and_nowhere_else() {
        for state in STEP_STATES {
            assert_eq!(state.has_effect(), nexts(state) == [StepState::Undoing], "{state:?}");
        }
    }

    #[test]
    fn every_state_is_reached_and_none_twice_on_one_way() {
        let mut ways = vec![vec![StepState::NotRun]];
        let mut reached = vec![StepState::NotRun];
        while let Some(way) = ways.pop() {
            for next in way.last().map(|last| nexts(*last)).unwrap_or_default() {
                assert!(!way.contains(&next), "a circle: {way:?} {next:?}");
                reached.push(next);
                ways.push([way.as_slice(), &[next]].concat());
            }
        }
        assert!(STEP_STATES.iter().all(|state| reached.contains(state)));
    }

    #[test]
    fn a_run_ends_in_one_of_three_ways() {
        use RunEvent as On;
        let ends = [RunState::Completed, RunState::Undone, RunState::UndoFailed];
        for event in [On::Finish, On::Fail, On::FinishUndo, On::FailUndo] {
            assert!(ends.iter().all(|end| end.after(event).is_none()));
        }
        assert_eq!(
            RunState::Running.after(On::Fail).and_then(|state| state.after(On::FinishUndo)),
            Some(RunState::Undone)
        );
        assert_eq!(RunState::Undoing.after(On::Finish), None);
    }
}
