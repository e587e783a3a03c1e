//! Makes the call of a step, or runs its flow.

use super::child;
use super::job::Job;
use super::progress::{Progress, Stop};
use super::{Engine, Start};
use crate::error::CallFailure;
use crate::flow::model::Work;
use crate::flow::plan;
use crate::flow::stale::{Origin, Stale};
use crate::request::Context;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// A call that has ended.
pub(super) struct Answered {
    pub job: Job,
    pub result: Result<Value, CallFailure>,
    /// Where it failed: whether the effect is or may be there.
    pub unsure: bool,
    pub ms: f64,
}

impl Progress {
    /// Sends a step or an item whose intent is recorded.
    pub(super) fn send(&self, job: Job) -> BoxFuture<'static, Result<Answered, Stop>> {
        let flow = self.flow.clone();
        let step = &flow.steps[job.step];
        let parent = match (&self.message, flow.consumes) {
            (Some(message), Some(source)) if plan::depends(&flow.steps, job.step, source) => {
                message.context()
            }
            _ => self.span.context(),
        };
        let mut span = self.engine.spans.step(&step.name, parent);
        let key: Arc<str> = Arc::from(job.key(&self.run_id, &flow));
        let context = Context {
            trace: span.context().clone(),
            idempotency_key: Some(key.clone()),
            overrides: step.policy.clone(),
            ..self.context.clone()
        };
        let outcome = self.outcome_of(job);
        let input = outcome.map(|outcome| outcome.input.clone()).unwrap_or_default();
        let again = outcome.is_some_and(|outcome| outcome.attempts > 1);
        let reads = self.nature(job.step).reads;
        let (engine, spans) = (self.engine.clone(), self.engine.spans.clone());
        Box::pin(async move {
            let step = &flow.steps[job.step];
            let started = Instant::now();
            let (result, unsure) = match &step.work {
                Work::Call(target) => {
                    let tenant = context.tenant.clone();
                    let origin = Origin { flow: &flow.name, step: &step.name, tenant: tenant.as_deref() };
                    let result = engine.calls.call(&target.role, &target.operation, &input, context).await;
                    match (result, step.stale_if_error.filter(|_| reads)) {
                        (Err(failure), limit) => {
                            // The first time it may have taken effect, whatever is said the second time: `already_exists` may speak
                            // of that effect.
                            let unsure = failure.error.maybe_applied || again;
                            let old = limit.filter(|_| Stale::helps(&failure));
                            match old.and_then(|limit| engine.stale.recall(origin, &input, limit)) {
                                Some(old) => {
                                    let (step, age) = (&step.name, old.age.as_secs());
                                    tracing::warn!(%step, age, %failure, "the last good answer stands in");
                                    span.failed(&failure);
                                    (Ok(old.output), false)
                                }
                                None => (Err(failure), unsure),
                            }
                        }
                        (Ok(output), _) => (Ok(output), false),
                    }
                }
                Work::Flow(name) => {
                    let start = Start { parent: Some(key.to_string()), key: Some(key), context };
                    let (engine, name) = (Engine(engine), name.clone());
                    // A task of its own, which goes on while this run waits for a write: in here it would stand still then, with a
                    // connection to the journal in its hands that the write waits for.
                    let child = async move { child::run(&engine, &name, &input, start, again).await };
                    let child = AbortOnDropHandle::new(tokio::spawn(child));
                    child.await.map_err(|error| Stop::Defect(error.to_string()))??
                }
            };
            if let Err(failure) = &result {
                span.failed(failure);
            }
            let elapsed = started.elapsed();
            spans.step_ended(&flow, &step.name, elapsed);
            Ok(Answered { job, result, unsure, ms: elapsed.as_secs_f64() * 1e3 })
        })
    }
}
