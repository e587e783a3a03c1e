//! One run on its way forward. Steps that need nothing more run at once; after a failure nothing new begins, and what is under way
//! is waited for: a call that is given up half way leaves an effect that nobody knows of.

use super::job::Job;
use super::progress::{Progress, Stop};
use super::remaining::{Ending, Remaining};
use super::send::Answered;
use super::step::{Miss, shallow};
use crate::error::CallFailure;
use crate::flow::plan::Plan;
use crate::flow::run::{RunOutcome, StepOutcome};
use crate::flow::state::{RunState, StepState};
use crate::journal::{Cancelled, Ended, Event, Nothing, OfStep, Reason, Unit};
use chassis_abi::Code;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;

impl Progress {
    /// Runs it to its end, or to where it is stuck.
    pub(super) async fn run(&mut self) -> Result<RunOutcome, Stop> {
        if !self.history.state.is_active() {
            // Its entries tell how it ended, and its row does not: that is all there is to do.
            self.turn(true);
            self.commit().await?;
            return Ok(self.outcome());
        }
        if self.history.state == RunState::Running {
            let ending = self.go_forward().await?;
            if let Some(message) = self.message.take() {
                let failure = match &ending {
                    Some(Ending::Failed { failure, .. }) => Some(failure),
                    _ => None,
                };
                message.finish(failure.map_or(Ok(()), Err));
            }
            match self.turned(ending)? {
                true => self.turn(false),
                false => return self.completed().await,
            }
        }
        if let Some(error) = self.history.error.clone() {
            self.span.failed(&error.failure);
        }
        self.go_back().await?;
        self.commit().await?;
        Ok(self.outcome())
    }

    async fn completed(&mut self) -> Result<RunOutcome, Stop> {
        self.turn(true);
        // Nobody needs to know that nothing was done.
        if self.counts {
            self.commit().await?
        } else {
            self.flush()?
        }
        Ok(self.outcome())
    }

    /// Ends the way forward; true if the run goes back.
    fn turned(&mut self, ending: Option<Ending>) -> Result<bool, Stop> {
        let ending = match ending {
            None => match shallow(self.flow.output.render(&self.scope)) {
                Ok(output) => {
                    self.record(Event::RunEnded(Ended { state: RunState::Completed, output }))?;
                    return Ok(false);
                }
                Err(reason) => {
                    Ending::Failed { unit: "output".to_owned(), failure: broken("output", reason) }
                }
            },
            Some(ending) => ending,
        };
        self.record(match ending {
            Ending::Failed { unit, failure } => {
                Event::RunFailed(Reason { step: unit, failure: (&failure).into() })
            }
            Ending::Cancelled => {
                let reason = self.cancel.reason.get().cloned().unwrap_or_default();
                Event::RunCancelled(Cancelled { reason })
            }
        })?;
        Ok(true)
    }

    async fn go_forward(&mut self) -> Result<Option<Ending>, Stop> {
        let ended: Vec<usize> =
            (0..self.flow.steps.len()).filter(|at| is_past(&self.history.steps[*at])).collect();
        let (plan, ready) = Plan::going_on(&self.flow.steps, &ended);
        let mut way = Remaining::new(plan, ready);
        way.ready.retain(|at| self.history.steps[*at].state == StepState::NotRun);
        self.look_back(&mut way)?;
        let mut under_way: FuturesUnordered<BoxFuture<'static, Result<Answered, Stop>>> =
            FuturesUnordered::new();
        let cancel = self.cancel.token.clone();
        loop {
            if cancel.is_cancelled() && way.ending.is_none() {
                way.ending = Some(Ending::Cancelled);
            }
            while way.goes_on()
                && let Some(at) = way.ready.pop_front()
            {
                self.prepare(at, &mut way)?;
            }
            if !way.sends.is_empty() {
                if way.must_wait || (self.counts && self.is_new()) {
                    self.commit().await?;
                } else {
                    self.flush()?;
                }
                // To read harms nobody, whoever has the run.
                if std::mem::take(&mut way.must_wait) {
                    self.still_ours().await?;
                }
                for job in std::mem::take(&mut way.sends) {
                    under_way.push(self.send(job));
                }
            }
            let answered = if !way.goes_on() {
                under_way.next().await
            } else {
                tokio::select! {
                    biased;
                    answered = under_way.next() => answered,
                    () = cancel.cancelled() => continue,
                }
            };
            let Some(answered) = answered else { return self.at_the_end(way).await };
            self.note(answered, &mut way)?;
            while let Some(Some(answered)) = under_way.next().now_or_never() {
                self.note(answered, &mut way)?;
            }
            // What follows goes into the same write; if nothing does for now, the result does not wait for it.
            if !under_way.is_empty() && way.sends.is_empty() && (way.ready.is_empty() || !way.goes_on()) {
                self.flush()?;
            }
        }
    }

    fn note(&mut self, answered: Result<Answered, Stop>, way: &mut Remaining) -> Result<(), Stop> {
        match answered {
            Ok(answered) => self.answered(answered, way),
            Err(stop) => {
                way.stop = way.stop.take().or(Some(stop));
                Ok(())
            }
        }
    }

    async fn at_the_end(&mut self, mut way: Remaining) -> Result<Option<Ending>, Stop> {
        if let Some(stop) = way.stop {
            // What came of the others is known, and the next host need not ask.
            self.commit().await?;
            return Err(stop);
        }
        self.close_lists(&mut way)?;
        Ok(way.ending)
    }

    /// Steps whose intent was durable when a host died, and whose end nobody knows: they are asked again where that does no harm,
    /// and count as failed where it could. And steps that are known to have failed.
    fn look_back(&mut self, way: &mut Remaining) -> Result<(), Stop> {
        let flow = self.flow.clone();
        if let Some((step, failure)) = self.untold.take() {
            way.fail(&flow.steps[step].name, failure);
        }
        for (at, step) in flow.steps.iter().enumerate() {
            match self.history.steps[at].state {
                StepState::Running if step.for_each.is_some() => self.reopen_list(at, way)?,
                StepState::Completed if flow.consumes == Some(at) => self.consume(at),
                _ => self.look_back_at(Job::step(at), way)?,
            }
        }
        for at in way.lists.keys().copied().collect::<Vec<_>>() {
            self.fill(at, way)?;
        }
        Ok(())
    }

    /// The same for one step, or one item.
    pub(super) fn look_back_at(&mut self, job: Job, way: &mut Remaining) -> Result<(), Stop> {
        let unit = job.unit(&self.flow);
        let Some(outcome) = self.outcome_of(job) else { return Ok(()) };
        let nature = self.nature(job.step);
        match outcome.state {
            StepState::Running if nature.repeatable => {
                self.record(Event::StepRepeated(of(&unit, Nothing {})))?;
                way.must_wait |= !nature.reads;
                way.sends.push(job);
            }
            StepState::Running => {
                let why = "the host ended before it knew how this step did, and it cannot be asked twice";
                let mut failure = CallFailure::new(Code::Aborted, why);
                failure.error.maybe_applied = true;
                if let (Some(_), Some(list)) = (job.item, way.lists.get_mut(&job.step)) {
                    list.busy -= 1;
                }
                self.failed(job, Miss { failure, unsure: true, output: Value::Null, ms: None }, way)?;
            }
            StepState::Failed | StepState::MaybeApplied if outcome.instead.is_none() => {
                let failure = outcome.error.clone().unwrap_or_else(|| broken("step", "it failed".to_owned()));
                way.fail(&unit, failure);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a step is behind a run that goes forward.
fn is_past(step: &StepOutcome) -> bool {
    let failed = matches!(step.state, StepState::Failed | StepState::MaybeApplied);
    matches!(step.state, StepState::Completed | StepState::Skipped) || (failed && step.instead.is_some())
}

/// Something that happened to a step.
pub(super) fn of<T>(unit: &str, is: T) -> OfStep<T> {
    OfStep { unit: Unit::from(unit), is }
}

/// An expression that fails is a defect of the flow, not of a backend.
pub(super) fn broken(field: &str, reason: String) -> CallFailure {
    CallFailure::new(Code::Internal, format!("{field}: {reason}"))
}
