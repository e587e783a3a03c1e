//! One run on its way forward. Steps that need nothing more run at once; after a failure nothing new begins, and what is under way
//! is waited for: a call that is given up half way leaves an effect that nobody knows of.

use super::calls::Calls;
use super::model::{Flow, Undo, Work};
use super::plan::{self, Plan};
use super::run::{RunError, RunOutcome, StepOutcome};
use super::scope::Scope;
use super::state::{RunEvent, RunState, StepEvent};
use super::trace::{Span, Spans};
use crate::error::CallFailure;
use crate::request::Context;
use crate::telemetry::ProcessSpan;
use chassis_abi::Code;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::time::Instant;

/// A run that is under way.
pub struct Progress {
    pub(super) flow: Arc<Flow>,
    pub(super) calls: Arc<dyn Calls>,
    pub(super) spans: Spans,
    pub(super) scope: Scope,
    pub(super) context: Context,
    pub(super) run_id: Arc<str>,
    pub(super) span: Span,
    pub(super) steps: Vec<StepOutcome>,
    /// The steps that have or may have an effect, in the order in which they ended.
    pub(super) ended: Vec<usize>,
    /// The processing of the message that the flow consumes.
    message: Option<ProcessSpan>,
    state: RunState,
    error: Option<RunError>,
}

type Ended = (usize, Result<Value, CallFailure>, f64);

impl Progress {
    /// A run of which nothing has happened. The input must have been accepted.
    pub fn new(
        flow: Arc<Flow>,
        calls: Arc<dyn Calls>,
        spans: Spans,
        input: Value,
        mut context: Context,
    ) -> Self {
        let id = uuid::Uuid::now_v7();
        let run_id: Arc<str> = Arc::from(id.to_string());
        let span = spans.flow(&flow.name, &run_id, &context.trace);
        context.trace = span.context().clone();
        if let Some(limit) = flow.deadline {
            context = context.within(limit);
        }
        let run = json!({ "id": &*run_id, "started_at": super::clock::now() });
        let scope = Scope::new(&input, &run, &Value::Object(calls.roles()));
        let steps =
            flow.steps.iter().map(|step| StepOutcome::new(&step.name, step.work.to_string())).collect();
        Self {
            scope,
            span,
            steps,
            run_id,
            flow,
            calls,
            spans,
            context,
            ended: Vec::new(),
            message: None,
            state: RunState::Running,
            error: None,
        }
    }

    /// Runs it to its end.
    pub async fn run(mut self) -> RunOutcome {
        let started = Instant::now();
        self.go_forward().await;
        let output = if self.error.is_none() { self.answer() } else { Value::Null };
        if let Some(message) = self.message.take() {
            message.finish(self.error.as_ref().map_or(Ok(()), |error| Err(&error.failure)));
        }
        if let Some(error) = &self.error {
            self.span.failed(&error.failure);
            self.turn(RunEvent::Fail);
            let complete = self.undo().await;
            self.turn(if complete { RunEvent::FinishUndo } else { RunEvent::FailUndo });
        } else {
            self.turn(RunEvent::Finish);
        }
        let elapsed = started.elapsed();
        self.spans.ended(&mut self.span, &self.flow.name, self.state, elapsed);
        RunOutcome {
            run_id: self.run_id.to_string(),
            flow: self.flow.name.clone(),
            state: self.state,
            output,
            error: self.error,
            ms: elapsed.as_secs_f64() * 1e3,
            trace_id: self.span.trace_id(),
            steps: self.steps,
        }
    }

    async fn go_forward(&mut self) {
        let mut plan = Plan::new(&self.flow.steps);
        let mut ready: VecDeque<usize> = plan.first().into();
        let mut under_way: FuturesUnordered<BoxFuture<'static, Ended>> = FuturesUnordered::new();
        loop {
            while self.error.is_none()
                && let Some(at) = ready.pop_front()
            {
                match self.begin(at) {
                    Ok(Some(call)) => under_way.push(call),
                    Ok(None) => {
                        self.turn_step(at, StepEvent::Skip);
                        self.scope.step_ended(&self.flow.steps[at].name, None);
                        ready.extend(plan.ended(at));
                    }
                    Err(failure) => self.failed(at, StepEvent::Fail, failure),
                }
            }
            let Some((at, result, ms)) = under_way.next().await else { return };
            self.steps[at].ms = Some(ms);
            match result {
                Ok(output) => {
                    if self.succeeded(at, output) {
                        ready.extend(plan.ended(at));
                    }
                }
                Err(failure) if failure.error.maybe_applied => {
                    self.failed(at, StepEvent::FailUnsure, failure)
                }
                Err(failure) => self.failed(at, StepEvent::Fail, failure),
            }
        }
    }

    /// Makes a step's call; `None` when its condition does not hold.
    fn begin(&mut self, at: usize) -> Result<Option<BoxFuture<'static, Ended>>, CallFailure> {
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
        let input = step.input.render(&self.scope).map_err(|reason| broken("input", reason))?;
        let parent = match (&self.message, self.flow.consumes) {
            (Some(message), Some(source)) if plan::depends(&self.flow.steps, at, source) => message.context(),
            _ => self.span.context(),
        };
        let mut span = self.spans.step(&step.name, parent);
        let context = Context {
            trace: span.context().clone(),
            idempotency_key: Some(Arc::from(format!("{}/{}", self.run_id, step.name))),
            ..self.context.clone()
        };
        let (calls, flow) = (self.calls.clone(), self.flow.clone());
        self.steps[at].input = input.clone();
        self.steps[at].attempts += 1;
        self.turn_step(at, StepEvent::Start);
        Ok(Some(Box::pin(async move {
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
            (at, result, started.elapsed().as_secs_f64() * 1e3)
        })))
    }

    /// Takes note of a result; false when it does not pass the step's check.
    fn succeeded(&mut self, at: usize, output: Value) -> bool {
        let flow = self.flow.clone();
        let step = &flow.steps[at];
        if let Some(check) = &step.check {
            let scope = self.scope.of_step(&self.steps[at].input, &output);
            let failure = match check.that.holds(&scope) {
                Ok(true) => None,
                Ok(false) => Some(match check.message.render(&scope) {
                    Ok(Value::String(message)) => CallFailure::new(check.code, message),
                    Ok(message) => CallFailure::new(check.code, message.to_string()),
                    Err(reason) => broken("check.message", reason),
                }),
                Err(reason) => Some(broken("check.that", reason)),
            };
            if let Some(failure) = failure {
                self.steps[at].output = output;
                // What only reads has no effect to take back, however its result is judged.
                let event =
                    if matches!(step.undo, Undo::Call(_)) { StepEvent::FailUnsure } else { StepEvent::Fail };
                self.failed(at, event, failure);
                return false;
            }
        }
        if self.flow.consumes == Some(at) {
            let system = step.work.call().and_then(|call| self.calls.system(&call.role, &call.operation));
            let queue = self.steps[at].input["queue"].as_str().unwrap_or_default();
            self.message = self.spans.process(
                system.as_deref().unwrap_or_default(),
                queue,
                &output["message"],
                &self.span,
            );
        }
        self.scope.step_ended(&step.name, Some((&self.steps[at].input, &output)));
        self.steps[at].output = output;
        self.turn_step(at, StepEvent::Succeed);
        self.ended.push(at);
        true
    }

    fn failed(&mut self, at: usize, event: StepEvent, failure: CallFailure) {
        self.turn_step(at, event);
        if event == StepEvent::FailUnsure {
            self.ended.push(at);
        }
        self.steps[at].error = Some(failure.clone());
        if self.error.is_none() {
            self.error = Some(RunError { step: self.flow.steps[at].name.clone(), failure });
        }
    }

    fn answer(&mut self) -> Value {
        self.flow.output.render(&self.scope).unwrap_or_else(|reason| {
            self.error = Some(RunError { step: "output".to_owned(), failure: broken("output", reason) });
            Value::Null
        })
    }

    fn turn(&mut self, event: RunEvent) {
        let next = self.state.after(event);
        debug_assert!(next.is_some(), "no way from {:?} by {event:?}", self.state);
        self.state = next.unwrap_or(self.state);
    }

    pub(super) fn turn_step(&mut self, at: usize, event: StepEvent) {
        let state = &mut self.steps[at].state;
        let next = state.after(event);
        debug_assert!(next.is_some(), "no way from {state:?} by {event:?}");
        *state = next.unwrap_or(*state);
    }
}

/// An expression that fails is a defect of the flow, not of a backend.
pub(super) fn broken(field: &str, reason: String) -> CallFailure {
    CallFailure::new(Code::Internal, format!("{field}: {reason}"))
}
