//! One run on its way forward. Steps that need nothing more run at once; after a failure nothing new begins, and what is under way
//! is waited for: a call that is given up half way leaves an effect that nobody knows of.

use super::calls::Nature;
use super::model::{Undo, Work};
use super::plan::{self, Plan};
use super::progress::{Progress, Stop};
use super::run::RunOutcome;
use super::state::{RunState, StepState};
use crate::error::CallFailure;
use crate::journal::{
    Cancelled, Ended, Event, Failed, FailureRecord, Nothing, OfStep, Reason, Started, Succeeded, Unit,
};
use crate::request::Context;
use chassis_abi::Code;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::time::Instant;

/// A call that has ended.
pub(super) struct Answered {
    at: usize,
    result: Result<Value, CallFailure>,
    ms: f64,
}

/// What a run still has to do on its way forward.
#[derive(Default)]
struct Way {
    ready: VecDeque<usize>,
    /// Steps whose intent is recorded, and whether it must be durable before they are sent.
    sends: Vec<usize>,
    must_wait: bool,
    /// Why nothing new begins.
    ending: Option<Ending>,
}

enum Ending {
    Failed { step: String, failure: CallFailure },
    Cancelled,
}

impl Progress {
    /// Runs it to its end, or to where it is stuck.
    pub(super) async fn run(&mut self) -> Result<RunOutcome, Stop> {
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
            None => match self.flow.output.render(&self.scope) {
                Ok(output) => {
                    self.record(Event::RunEnded(Ended { state: RunState::Completed, output }))?;
                    return Ok(false);
                }
                Err(reason) => {
                    Ending::Failed { step: "output".to_owned(), failure: broken("output", reason) }
                }
            },
            Some(ending) => ending,
        };
        self.record(match ending {
            Ending::Failed { step, failure } => Event::RunFailed(Reason { step, failure: (&failure).into() }),
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
        let (mut plan, ready) = Plan::going_on(&self.flow.steps, &ended);
        let mut way = Way { ready: ready.into(), ..Way::default() };
        way.ready.retain(|at| self.history.steps[*at].state == StepState::NotRun);
        self.look_back(&mut way)?;
        let mut under_way: FuturesUnordered<BoxFuture<'static, Answered>> = FuturesUnordered::new();
        let cancel = self.cancel.token.clone();
        loop {
            if cancel.is_cancelled() && way.ending.is_none() {
                way.ending = Some(Ending::Cancelled);
            }
            while way.ending.is_none()
                && let Some(at) = way.ready.pop_front()
            {
                self.prepare(at, &mut plan, &mut way)?;
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
                for at in std::mem::take(&mut way.sends) {
                    under_way.push(self.send(at));
                }
            }
            let answered = if way.ending.is_some() {
                under_way.next().await
            } else {
                tokio::select! {
                    biased;
                    answered = under_way.next() => answered,
                    () = cancel.cancelled() => continue,
                }
            };
            let Some(answered) = answered else { return Ok(way.ending) };
            self.answered(answered, &mut plan, &mut way)?;
            while let Some(Some(answered)) = under_way.next().now_or_never() {
                self.answered(answered, &mut plan, &mut way)?;
            }
            // What follows goes into the same write; if nothing does for now, the result does not wait for it.
            if !under_way.is_empty() && (way.ready.is_empty() || way.ending.is_some()) {
                self.flush()?;
            }
        }
    }

    /// Steps whose intent was durable when a host died, and whose end nobody knows: they are asked again where that does no harm,
    /// and count as failed where it could. And steps that are known to have failed.
    fn look_back(&mut self, way: &mut Way) -> Result<(), Stop> {
        let flow = self.flow.clone();
        for (at, step) in flow.steps.iter().enumerate() {
            let outcome = &self.history.steps[at];
            match outcome.state {
                StepState::Running if self.nature(at).repeatable => {
                    self.record(Event::StepRepeated(of(&step.name, Nothing {})))?;
                    way.must_wait |= !self.nature(at).reads;
                    way.sends.push(at);
                }
                StepState::Running => {
                    let why = "the host ended before it knew how this step did, and it cannot be asked twice";
                    let mut failure = CallFailure::new(Code::Aborted, why);
                    failure.error.maybe_applied = true;
                    self.failed(at, failure, true, Value::Null, None, way)?;
                }
                StepState::Failed | StepState::MaybeApplied if outcome.instead.is_none() => {
                    let failure =
                        outcome.error.clone().unwrap_or_else(|| broken("step", "it failed".to_owned()));
                    way.fail(&step.name, failure);
                }
                StepState::Completed if flow.consumes == Some(at) => self.consume(at),
                _ => {}
            }
        }
        Ok(())
    }

    fn nature(&self, at: usize) -> Nature {
        let call = self.flow.steps[at].work.call();
        call.map_or_else(Nature::default, |call| self.engine.calls.nature(&call.role, &call.operation))
    }

    /// Records a step's intent, or that it is not to be.
    fn prepare(&mut self, at: usize, plan: &mut Plan, way: &mut Way) -> Result<(), Stop> {
        let flow = self.flow.clone();
        let step = &flow.steps[at];
        match self.input(at) {
            Ok(Some(input)) => {
                let nature = self.nature(at);
                way.must_wait |= !nature.reads;
                self.counts |= !nature.reads;
                self.record(Event::StepStarted(of(
                    &step.name,
                    Started { call: step.work.to_string(), input: Arc::new(input) },
                )))?;
                way.sends.push(at);
            }
            Ok(None) => {
                self.record(Event::StepSkipped(of(&step.name, Nothing {})))?;
                self.scope.step_ended(&step.name, None);
                way.ready.extend(plan.ended(at));
            }
            Err(failure) => self.failed(at, failure, false, Value::Null, None, way)?,
        }
        Ok(())
    }

    /// A step's input; `None` when its condition does not hold.
    fn input(&self, at: usize) -> Result<Option<Value>, CallFailure> {
        let step = &self.flow.steps[at];
        if let Some(when) = &step.when
            && !when.holds(&self.scope).map_err(|reason| broken("when", reason))?
        {
            return Ok(None);
        }
        if self.context.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            let message = "the deadline of the run passed before this step";
            return Err(CallFailure::new(Code::DeadlineExceeded, message));
        }
        step.input.render(&self.scope).map(Some).map_err(|reason| broken("input", reason))
    }

    /// Makes a step's call.
    fn send(&self, at: usize) -> BoxFuture<'static, Answered> {
        let step = &self.flow.steps[at];
        let parent = match (&self.message, self.flow.consumes) {
            (Some(message), Some(source)) if plan::depends(&self.flow.steps, at, source) => message.context(),
            _ => self.span.context(),
        };
        let mut span = self.engine.spans.step(&step.name, parent);
        let context = Context {
            trace: span.context().clone(),
            idempotency_key: Some(Arc::from(format!("{}/{}", self.run_id, step.name))),
            ..self.context.clone()
        };
        let (calls, flow, input) =
            (self.engine.calls.clone(), self.flow.clone(), self.history.steps[at].input.clone());
        Box::pin(async move {
            let started = Instant::now();
            let result = match &flow.steps[at].work {
                Work::Call(target) => calls.call(&target.role, &target.operation, &input, context).await,
                Work::Flow(name) => {
                    let message = format!("this engine runs no flow `{name}` within a flow");
                    Err(CallFailure::new(Code::Unimplemented, message))
                }
            };
            if let Err(failure) = &result {
                span.failed(failure);
            }
            Answered { at, result, ms: started.elapsed().as_secs_f64() * 1e3 }
        })
    }

    fn answered(&mut self, answered: Answered, plan: &mut Plan, way: &mut Way) -> Result<(), Stop> {
        let Answered { at, result, ms } = answered;
        let flow = self.flow.clone();
        let step = &flow.steps[at];
        let output = match result {
            Ok(output) => output,
            Err(failure) => {
                // The first time it may have taken effect, whatever is said the second time: `already_exists` may speak of that effect.
                let unsure = failure.error.maybe_applied || self.history.steps[at].attempts > 1;
                return self.failed(at, failure, unsure, Value::Null, Some(ms), way);
            }
        };
        if let Some(failure) = self.judged(at, &output) {
            // What only reads has no effect to take back, however its result is judged.
            let unsure = matches!(step.undo, Undo::Call(_));
            return self.failed(at, failure, unsure, output, Some(ms), way);
        }
        self.record(Event::StepSucceeded(of(&step.name, Succeeded { output, ms })))?;
        if flow.consumes == Some(at) {
            self.consume(at);
        }
        let outcome = &self.history.steps[at];
        self.scope.step_ended(&step.name, Some((&outcome.input, &outcome.output)));
        way.ready.extend(plan.ended(at));
        Ok(())
    }

    /// Why a result does not pass its step's check.
    fn judged(&self, at: usize, output: &Value) -> Option<CallFailure> {
        let check = self.flow.steps[at].check.as_ref()?;
        let scope = self.scope.of_step(&self.history.steps[at].input, output);
        match check.that.holds(&scope) {
            Ok(true) => None,
            Ok(false) => Some(match check.message.render(&scope) {
                Ok(Value::String(message)) => CallFailure::new(check.code, message),
                Ok(message) => CallFailure::new(check.code, message.to_string()),
                Err(reason) => broken("check.message", reason),
            }),
            Err(reason) => Some(broken("check.that", reason)),
        }
    }

    fn failed(
        &mut self,
        at: usize,
        failure: CallFailure,
        unsure: bool,
        output: Value,
        ms: Option<f64>,
        way: &mut Way,
    ) -> Result<(), Stop> {
        let name = &self.flow.clone().steps[at].name;
        let record = FailureRecord::from(&failure);
        let failed = Failed { failure: record, unsure, output, ms, instead: None };
        self.record(Event::StepFailed(of(name, failed)))?;
        way.fail(name, failure);
        Ok(())
    }

    /// What follows is the processing of the message that this step took.
    fn consume(&mut self, at: usize) {
        let call = self.flow.steps[at].work.call();
        let step = &self.history.steps[at];
        let system = call.and_then(|call| self.engine.calls.system(&call.role, &call.operation));
        let queue = step.input["queue"].as_str().unwrap_or_default();
        let message = &step.output["message"];
        self.message =
            self.engine.spans.process(system.as_deref().unwrap_or_default(), queue, message, &self.span);
    }
}

impl Way {
    /// The first failure counts.
    fn fail(&mut self, step: &str, failure: CallFailure) {
        if self.ending.is_none() {
            self.ending = Some(Ending::Failed { step: step.to_owned(), failure });
        }
    }
}

/// Whether a step is behind a run that goes forward.
fn is_past(step: &super::run::StepOutcome) -> bool {
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
