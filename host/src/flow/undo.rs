//! One run on its way back.

use super::forward::{broken, of};
use super::model::{Undo, UndoCall};
use super::progress::{Progress, Stop};
use super::state::{RunState, StepState};
use crate::error::CallFailure;
use crate::journal::{Ended, Event, FailureRecord, Nothing, UndoFailed, UndoStarted, UndoSucceeded};
use crate::request::Context;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often an undo is tried before the run is stuck.
const TRIES: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Progress {
    /// Takes back what the steps did, the last one first, one after the other: what a step built on goes after it. What cannot be
    /// taken back stops nothing: whatever can go, goes.
    pub(super) async fn go_back(&mut self) -> Result<(), Stop> {
        let flow = self.flow.clone();
        // From here no host may ever go forward again with this run: that is durable before anything is taken back.
        let mut known = self.history.steps.iter().any(|step| step.undo.is_some());
        for place in self.history.to_undo() {
            let name = self.history.steps[place].name.clone();
            let step = flow.steps.iter().find(|step| step.name == name);
            let Some(Undo::Call(undo)) = step.map(|step| &step.undo) else { continue };
            match self.due(place, undo) {
                Ok(false) => {}
                Ok(true) => self.take_back(place, &name, undo, &mut known).await?,
                Err(failure) => self.cannot(place, &name, undo, failure)?,
            }
        }
        let blocked = self.history.blocked().next().is_some();
        self.record(match (blocked, self.history.cancelled) {
            (true, _) => Event::RunStuck(Nothing {}),
            (false, true) => Event::RunEnded(Ended { state: RunState::Cancelled, output: Value::Null }),
            (false, false) => Event::RunEnded(Ended { state: RunState::Undone, output: Value::Null }),
        })?;
        self.turn(true);
        Ok(())
    }

    fn due(&self, place: usize, undo: &UndoCall) -> Result<bool, CallFailure> {
        let Some(when) = &undo.when else { return Ok(true) };
        let step = &self.history.steps[place];
        let scope = self.scope.of_step(&step.input, &step.output);
        when.holds(&scope).map_err(|reason| broken("undo.when", reason))
    }

    async fn take_back(
        &mut self,
        place: usize,
        name: &str,
        undo: &UndoCall,
        known: &mut bool,
    ) -> Result<(), Stop> {
        let step = &self.history.steps[place];
        let scope = self.scope.of_step(&step.input, &step.output);
        let input = match undo.input.render(&scope) {
            Ok(input) => input,
            Err(reason) => return self.cannot(place, name, undo, broken("undo.input", reason)),
        };
        if step.state != StepState::Undoing {
            let started = UndoStarted { call: undo.call.to_string(), input: input.clone() };
            self.record(Event::UndoStarted(of(name, started)))?;
        }
        if *known {
            self.flush()?;
        } else {
            self.commit().await?;
            *known = true;
        }
        loop {
            self.still_ours().await?;
            let begun = Instant::now();
            let result = self.send_undo(name, undo, &input).await;
            let ms = begun.elapsed().as_secs_f64() * 1e3;
            let Err(failure) = result else {
                return self.record(Event::UndoSucceeded(of(name, UndoSucceeded { ms })));
            };
            let tries = self.history.steps[place].undo.as_ref().map_or(0, |undo| undo.tries) + 1;
            let last = tries >= TRIES;
            let record = FailureRecord::from(&failure);
            self.record(Event::UndoFailed(of(name, UndoFailed { failure: record, ms, last })))?;
            self.flush()?;
            if last {
                return Ok(());
            }
            let handing = self.engine.handing.clone();
            tokio::select! {
                biased;
                () = handing.cancelled() => return Err(Stop::Handed),
                () = tokio::time::sleep(wait_after(tries)) => {}
            }
        }
    }

    async fn send_undo(&self, name: &str, undo: &UndoCall, input: &Value) -> Result<(), CallFailure> {
        let mut span = self.engine.spans.undo(name, self.span.context());
        // The run's deadline is left out: what was done late must be taken back all the same.
        let context = Context {
            trace: span.context().clone(),
            deadline: None,
            overrides: None,
            idempotency_key: Some(Arc::from(format!("{}/{name}/undo", self.run_id))),
            ..self.context.clone()
        };
        let result = self.engine.calls.call(&undo.call.role, &undo.call.operation, input, context).await;
        if let Err(failure) = &result {
            span.failed(failure);
        }
        result.map(drop)
    }

    /// An undo that cannot even be sent: no later try is better.
    fn cannot(
        &mut self,
        place: usize,
        name: &str,
        undo: &UndoCall,
        failure: CallFailure,
    ) -> Result<(), Stop> {
        if self.history.steps[place].state != StepState::Undoing {
            let started = UndoStarted { call: undo.call.to_string(), input: Value::Null };
            self.record(Event::UndoStarted(of(name, started)))?;
        }
        let failure = FailureRecord::from(&failure);
        self.record(Event::UndoFailed(of(name, UndoFailed { failure, ms: 0.0, last: true })))
    }
}

fn wait_after(tries: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << (tries - 1).min(16)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_ten_seconds() {
        let waits: Vec<u128> = (1..TRIES).map(|tries| wait_after(tries).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000]);
    }
}
