//! One run on its way back.

use super::Engine;
use super::child;
use super::forward::{broken, of};
use super::job::Job;
use super::progress::{Progress, Stop};
use super::step::shallow;
use crate::error::CallFailure;
use crate::flow::model::{Undo, UndoCall, Work};
use crate::flow::scope::Scope;
use crate::flow::state::{RunState, StepState};
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
/// Policies that turn a call away for this host's own sake, whatever the backend is like.
const OURS: [&str; 2] = ["admission", "bulkhead"];
/// Before an undo that was turned away is sent again, at least.
const BUSY: Duration = Duration::from_millis(500);
/// So long an undo waits for a breaker without that being a try: where many runs go back, few of them are let through to probe.
const BROKEN: Duration = Duration::from_secs(300);

/// A step or an item whose effect is taken back.
#[derive(Clone, Copy)]
struct Undone<'a> {
    /// Its place in the history.
    place: usize,
    job: Job,
    /// As the journal names it.
    unit: &'a str,
}

impl Progress {
    /// Takes back what the steps did, the last one first, one after the other: what a step built on goes after it. What cannot be
    /// taken back stops nothing: whatever can go, goes.
    pub(super) async fn go_back(&mut self) -> Result<(), Stop> {
        let flow = self.flow.clone();
        // From here no host may ever go forward again with this run: that is durable before anything is taken back.
        let mut known = self.history.steps.iter().any(|step| step.undo.is_some());
        for place in self.history.to_undo() {
            let unit = self.history.steps[place].name.clone();
            // A list has no effect but that of its items.
            let Some(job) = Job::find(&flow, &unit).filter(|job| !job.is_list(&flow)) else { continue };
            let undone = Undone { place, job, unit: &unit };
            match (&flow.steps[job.step].work, &flow.steps[job.step].undo) {
                (Work::Flow(name), _) => self.revert(undone, name, &mut known).await?,
                (Work::Call(_), Undo::Call(undo)) => match self.due(undone, undo) {
                    Ok(false) => {}
                    Ok(true) => self.take_back(undone, undo, &mut known).await?,
                    Err(failure) => self.cannot(undone, undo, failure)?,
                },
                (Work::Call(_), Undo::Unsaid | Undo::Nothing) => {}
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

    fn due(&self, undone: Undone<'_>, undo: &UndoCall) -> Result<bool, CallFailure> {
        let Some(when) = &undo.when else { return Ok(true) };
        when.holds(&self.scope_of_undo(undone)).map_err(|reason| broken("undo.when", reason))
    }

    fn scope_of_undo(&self, undone: Undone<'_>) -> Scope {
        let step = &self.history.steps[undone.place];
        self.seen(undone.job).of_step(step.input.clone(), &step.output)
    }

    /// Takes back what a flow within this one did, which is a run of its own with its own tries.
    async fn revert(&mut self, undone: Undone<'_>, name: &str, known: &mut bool) -> Result<(), Stop> {
        let Undone { place, job, unit } = undone;
        // It may be missing only where it is not known that it was there.
        let completed = self.history.steps[place].error.is_none();
        if self.history.steps[place].state != StepState::Undoing {
            let call = self.flow.steps[job.step].work.to_string();
            self.record(Event::UndoStarted(of(unit, UndoStarted { call, input: Value::Null })))?;
        }
        self.before_undo(known).await?;
        self.still_ours().await?;
        let begun = Instant::now();
        let mut span = self.engine.spans.undo(&self.flow.steps[job.step].name, self.span.context());
        let (engine, key) = (Engine(self.engine.clone()), job.key(&self.run_id, &self.flow));
        let reverted = child::revert(&engine, name, self.context.tenant.as_deref(), &key, completed).await?;
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        self.record(match reverted {
            Ok(()) => Event::UndoSucceeded(of(unit, UndoSucceeded { ms })),
            Err(failure) => {
                span.failed(&failure);
                self.undo_failed(undone);
                let failure = FailureRecord::from(&failure);
                Event::UndoFailed(of(unit, UndoFailed { failure, ms, last: true }))
            }
        })
    }

    /// Has the undo's intent written; the first one of a run is waited for.
    async fn before_undo(&mut self, known: &mut bool) -> Result<(), Stop> {
        if std::mem::replace(known, true) { self.flush() } else { self.commit().await }
    }

    async fn take_back(&mut self, undone: Undone<'_>, undo: &UndoCall, known: &mut bool) -> Result<(), Stop> {
        let Undone { place, job, unit } = undone;
        let input = match shallow(undo.input.render(&self.scope_of_undo(undone))) {
            Ok(input) => input,
            Err(reason) => return self.cannot(undone, undo, broken("undo.input", reason)),
        };
        if self.history.steps[place].state != StepState::Undoing {
            let started = UndoStarted { call: undo.call.to_string(), input: input.clone() };
            self.record(Event::UndoStarted(of(unit, started)))?;
        }
        self.before_undo(known).await?;
        let first = Instant::now();
        loop {
            self.still_ours().await?;
            let begun = Instant::now();
            let result = self.send_undo(job, undo, &input).await;
            let ms = begun.elapsed().as_secs_f64() * 1e3;
            let Err(failure) = result else {
                return self.record(Event::UndoSucceeded(of(unit, UndoSucceeded { ms })));
            };
            let tries = self.history.steps[place].undo.as_ref().map_or(0, |undo| undo.tries) + 1;
            if is_no_try(&failure, first.elapsed()) {
                let wait = failure.error.retry_after.unwrap_or(BUSY);
                self.rest(wait.clamp(BUSY, LONGEST_WAIT)).await?;
                continue;
            }
            self.undo_failed(undone);
            let last = tries >= TRIES;
            let record = FailureRecord::from(&failure);
            self.record(Event::UndoFailed(of(unit, UndoFailed { failure: record, ms, last })))?;
            self.flush()?;
            if last {
                return Ok(());
            }
            self.rest(wait_after(tries)).await?;
        }
    }

    /// Waits; whoever ends meanwhile leaves the run to the next host.
    async fn rest(&self, time: Duration) -> Result<(), Stop> {
        let rested = self.engine.handing.run_until_cancelled(tokio::time::sleep(time)).await;
        rested.ok_or(Stop::Handed)
    }

    async fn send_undo(&self, job: Job, undo: &UndoCall, input: &Value) -> Result<(), CallFailure> {
        let mut span = self.engine.spans.undo(&self.flow.steps[job.step].name, self.span.context());
        // The run's deadline is left out: what was done late must be taken back all the same.
        let context = Context {
            trace: span.context().clone(),
            deadline: None,
            overrides: None,
            idempotency_key: Some(Arc::from(job.key(&self.run_id, &self.flow) + "/undo")),
            ..self.context.clone()
        };
        let result = self.engine.calls.call(&undo.call.role, &undo.call.operation, input, context).await;
        if let Err(failure) = &result {
            span.failed(failure);
        }
        result.map(drop)
    }

    /// An undo that cannot even be sent: no later try is better.
    fn cannot(&mut self, undone: Undone<'_>, undo: &UndoCall, failure: CallFailure) -> Result<(), Stop> {
        let Undone { place, unit, .. } = undone;
        if self.history.steps[place].state != StepState::Undoing {
            let started = UndoStarted { call: undo.call.to_string(), input: Value::Null };
            self.record(Event::UndoStarted(of(unit, started)))?;
        }
        self.undo_failed(undone);
        let failure = FailureRecord::from(&failure);
        self.record(Event::UndoFailed(of(unit, UndoFailed { failure, ms: 0.0, last: true })))
    }

    fn undo_failed(&self, undone: Undone<'_>) {
        self.engine.spans.undo_failed(&self.flow, &self.flow.steps[undone.job.step].name);
    }
}

/// Whether nothing was sent, for a reason that says nothing of the undo: this host has too much to do, or the backend is spared.
fn is_no_try(failure: &CallFailure, waited: Duration) -> bool {
    failure.refused_by.is_some_and(|policy| OURS.contains(&policy) || policy == "breaker" && waited < BROKEN)
}

fn wait_after(tries: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << (tries - 1).min(16)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_is_no_try_and_a_breaker_is_not_waited_for_forever() {
        let refused =
            |policy| CallFailure::refused(policy, chassis_abi::Code::Unavailable, "not now".to_owned(), BUSY);
        assert!(is_no_try(&refused("bulkhead"), BROKEN) && is_no_try(&refused("breaker"), Duration::ZERO));
        assert!(!is_no_try(&refused("breaker"), BROKEN) && !is_no_try(&refused("deadline"), Duration::ZERO));
    }

    #[test]
    fn waits_double_to_ten_seconds() {
        let waits: Vec<u128> = (1..TRIES).map(|tries| wait_after(tries).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000]);
    }
}
