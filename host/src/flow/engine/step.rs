//! The steps of a run on its way forward: what each is sent with, and what its end means.

use super::forward::{broken, of};
use super::job::Job;
use super::progress::{Progress, Stop};
use super::remaining::Remaining;
use super::send::Answered;
use crate::error::CallFailure;
use crate::flow::calls::Nature;
use crate::flow::depth;
use crate::flow::model::{OnError, Undo, Work};
use crate::flow::stale::Origin;
use crate::journal::{Event, Failed, Nothing, Started, Succeeded};
use chassis_abi::Code;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

/// How a step or an item ended badly.
pub(super) struct Miss {
    pub failure: CallFailure,
    /// Whether the effect is or may be there.
    pub unsure: bool,
    /// What it answered, if it did.
    pub output: Value,
    pub ms: Option<f64>,
}

impl Miss {
    /// It was never sent.
    pub fn unsent(failure: CallFailure) -> Self {
        Self { failure, unsure: false, output: Value::Null, ms: None }
    }
}

impl Progress {
    /// Records a step's intent, or that it is not to be.
    pub(super) fn prepare(&mut self, at: usize, way: &mut Remaining) -> Result<(), Stop> {
        let flow = self.flow.clone();
        let step = &flow.steps[at];
        let due = step.when.as_ref().map_or(Ok(true), |when| when.holds(&self.scope));
        match due {
            Ok(true) => {}
            Ok(false) => {
                self.record(Event::StepSkipped(of(&step.name, Nothing {})))?;
                self.scope.step_ended(&step.name, None);
                way.ended(at);
                return Ok(());
            }
            Err(reason) => return self.failed(Job::step(at), Miss::unsent(broken("when", reason)), way),
        }
        match &step.for_each {
            Some(each) => match self.items(each) {
                Ok(items) => self.open_list(at, items, way),
                Err(failure) => self.failed(Job::step(at), Miss::unsent(failure), way),
            },
            None => match self.input(Job::step(at)) {
                Ok(input) => self.begin_job(Job::step(at), input, way),
                Err(failure) => self.failed(Job::step(at), Miss::unsent(failure), way),
            },
        }
    }

    /// Records the intent.
    pub(super) fn begin_job(&mut self, job: Job, input: Value, way: &mut Remaining) -> Result<(), Stop> {
        let nature = self.nature(job.step);
        way.must_wait |= !nature.reads;
        self.counts |= !nature.reads;
        let call = self.flow.steps[job.step].work.to_string();
        let unit = job.unit(&self.flow);
        self.record(Event::StepStarted(of(&unit, Started { call, input: Arc::new(input) })))?;
        way.sends.push(job);
        Ok(())
    }

    /// What may be done with a step whose end nobody knows. A flow is found again by its key.
    pub(super) fn nature(&self, at: usize) -> Nature {
        match &self.flow.steps[at].work {
            Work::Call(call) => self.engine.calls.nature(&call.role, &call.operation),
            Work::Flow(_) => Nature { reads: false, repeatable: true },
        }
    }

    /// With what it is sent.
    pub(super) fn input(&self, job: Job) -> Result<Value, CallFailure> {
        if self.is_late() {
            let message = "the deadline of the run passed before this step";
            return Err(CallFailure::new(Code::DeadlineExceeded, message));
        }
        let input = self.flow.steps[job.step].input.render(&self.seen(job));
        shallow(input).map_err(|reason| broken("input", reason))
    }

    fn is_late(&self) -> bool {
        self.context.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Takes note of what came of a call.
    pub(super) fn answered(&mut self, answered: Answered, way: &mut Remaining) -> Result<(), Stop> {
        let Answered { job, result, unsure, ms } = answered;
        if let (Some(_), Some(list)) = (job.item, way.lists.get_mut(&job.step)) {
            list.busy -= 1;
        }
        match result {
            Ok(output) => match self.judged(job, &output) {
                None => self.succeeded(job, output, ms, way)?,
                Some(failure) => {
                    // What only reads has no effect to take back, however its result is judged.
                    let step = &self.flow.steps[job.step];
                    let unsure = matches!(step.undo, Undo::Call(_)) || step.work.call().is_none();
                    self.failed(job, Miss { failure, unsure, output, ms: Some(ms) }, way)?;
                }
            },
            Err(failure) => {
                self.failed(job, Miss { failure, unsure, output: Value::Null, ms: Some(ms) }, way)?;
            }
        }
        if job.item.is_some() { self.fill(job.step, way) } else { Ok(()) }
    }

    fn succeeded(&mut self, job: Job, output: Value, ms: f64, way: &mut Remaining) -> Result<(), Stop> {
        let flow = self.flow.clone();
        let step = &flow.steps[job.step];
        let unit = job.unit(&flow);
        if step.stale_if_error.is_some()
            && let Some(outcome) = self.outcome_of(job)
        {
            let origin =
                Origin { flow: &flow.name, step: &step.name, tenant: self.context.tenant.as_deref() };
            self.engine.stale.remember(origin, &outcome.input, &output);
        }
        self.record(Event::StepSucceeded(of(&unit, Succeeded { output, ms })))?;
        if job.item.is_none() {
            if flow.consumes == Some(job.step) {
                self.consume(job.step);
            }
            self.told(job.step, way);
        }
        Ok(())
    }

    /// Has a step that ended known, and those begin that waited for it.
    pub(super) fn told(&mut self, step: usize, way: &mut Remaining) {
        match self.tell(step) {
            Ok(()) => way.ended(step),
            // Its output was made once before, when it was judged.
            Err(failure) => way.fail(&self.flow.steps[step].name, failure),
        }
    }

    /// Why a result does not pass: its step's check does not hold, or what others are to see cannot be made of it.
    fn judged(&self, job: Job, output: &Value) -> Option<CallFailure> {
        let step = &self.flow.steps[job.step];
        let input = self.outcome_of(job).map(|outcome| outcome.input.clone()).unwrap_or_default();
        if let Some(check) = &step.check {
            let scope = self.seen(job).of_step(input.clone(), output);
            match check.that.holds(&scope) {
                Ok(true) => {}
                Ok(false) => {
                    return Some(match check.message.render(&scope) {
                        Ok(Value::String(message)) => CallFailure::new(check.code, message),
                        Ok(message) => CallFailure::new(check.code, message.to_string()),
                        Err(reason) => broken("check.message", reason),
                    });
                }
                Err(reason) => return Some(broken("check.that", reason)),
            }
        }
        self.shown(job, &input, output).err()
    }

    /// Takes note of a failure: the run goes back, or on with what the flow says in place of the output.
    pub(super) fn failed(&mut self, job: Job, miss: Miss, way: &mut Remaining) -> Result<(), Stop> {
        let unit = job.unit(&self.flow);
        let Miss { failure, unsure, output, ms } = miss;
        let (instead, failure) = match self.excuse(job) {
            Ok(instead) => (instead, failure),
            Err(broken) => (None, broken),
        };
        let excused = instead.is_some();
        let failed = Failed { failure: (&failure).into(), unsure, output, ms, instead };
        self.record(Event::StepFailed(of(&unit, failed)))?;
        match (excused, job.item) {
            (true, None) => self.told(job.step, way),
            (true, Some(_)) => {}
            (false, _) => way.fail(&unit, failure),
        }
        Ok(())
    }

    /// What the flow goes on with in place of an output. Nothing is excused after the run's deadline, and no list that cannot be made.
    fn excuse(&self, job: Job) -> Result<Option<Value>, CallFailure> {
        if job.is_list(&self.flow) || self.is_late() {
            return Ok(None);
        }
        match &self.flow.steps[job.step].on_error {
            OnError::Fail => Ok(None),
            OnError::Continue => Ok(Some(Value::Null)),
            OnError::Value(value) => match shallow(value.render(&self.seen(job))) {
                Ok(value) => Ok(Some(value)),
                Err(reason) => Err(broken("on_error.value", reason)),
            },
        }
    }

    /// What follows is the processing of the message that this step took.
    pub(super) fn consume(&mut self, at: usize) {
        let call = self.flow.steps[at].work.call();
        let step = &self.history.steps[at];
        let system = call.and_then(|call| self.engine.calls.system(&call.role, &call.operation));
        let queue = step.input["queue"].as_str().unwrap_or_default();
        let message = &step.output["message"];
        self.message =
            self.engine.spans.process(system.as_deref().unwrap_or_default(), queue, message, &self.span);
    }
}

/// What a flow made, unless the journal could not give it back.
pub(super) fn shallow(made: Result<Value, String>) -> Result<Value, String> {
    match made {
        Ok(value) if depth::is_deeper(&value, depth::MADE) => {
            Err(format!("it is nested deeper than {} levels", depth::MADE))
        }
        made => made,
    }
}
