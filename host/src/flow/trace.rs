//! What a run leaves in telemetry: a span for the flow, one for each step and undo, one for the processing of a message, and the
//! count and duration of runs.

use super::model::{Flow, Undo, Work};
use super::set::FlowSet;
use super::state::RunState;
use crate::error::CallFailure;
use crate::telemetry::{Active, FlowTelemetry, ProcessSpan, SpanGuard, Telemetry};
use arc_swap::ArcSwap;
use chassis_abi::Code;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanKind};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Makes the spans of runs. The default makes none, for tests.
#[derive(Clone, Default)]
pub struct Spans(Option<Arc<Reported>>);

struct Reported {
    telemetry: Telemetry,
    /// Handles by flow, registered beforehand.
    flows: ArcSwap<HashMap<String, FlowTelemetry>>,
}

/// A span that ends when it is dropped.
pub struct Span {
    guard: Option<SpanGuard>,
    parent: SpanContext,
    /// Of a run's span: it is under way as long as this is there.
    _active: Option<Active>,
}

impl Spans {
    /// Reports runs of these flows.
    pub fn new(telemetry: &Telemetry, flows: &FlowSet) -> Self {
        let spans =
            Self(Some(Arc::new(Reported { telemetry: telemetry.clone(), flows: ArcSwap::default() })));
        spans.know(flows);
        spans
    }

    /// Reports runs of these flows too.
    pub fn know(&self, flows: &FlowSet) {
        let Some(reported) = &self.0 else { return };
        let mut known = HashMap::clone(&reported.flows.load());
        for flow in flows.iter() {
            let steps = flow.steps.iter().map(|step| {
                let undone = matches!((&step.work, &step.undo), (Work::Flow(_), _) | (_, Undo::Call(_)));
                (step.name.as_str(), undone)
            });
            let now = reported.telemetry.flow(&flow.name, steps);
            let now = known.get(&flow.name).map_or_else(|| now.clone(), |before| now.with_steps_of(before));
            known.insert(flow.name.clone(), now);
        }
        reported.flows.store(Arc::new(known));
    }

    /// The span of a run.
    pub fn flow(&self, flow: &str, run_id: &str, parent: &SpanContext) -> Span {
        let attributes = [("chassis.flow", flow), ("chassis.run.id", run_id)];
        let span = self.start(format!("flow {flow}"), parent, attributes);
        Span { _active: self.with(flow, FlowTelemetry::active), ..span }
    }

    /// The span of a step.
    pub fn step(&self, step: &str, parent: &SpanContext) -> Span {
        self.start(format!("step {step}"), parent, [("chassis.step", step)])
    }

    /// The span of a step's undo.
    pub fn undo(&self, step: &str, parent: &SpanContext) -> Span {
        self.start(format!("undo {step}"), parent, [("chassis.step", step)])
    }

    /// The span of the processing of a message from `queue`; `system` is what the broker is called.
    pub fn process(&self, system: &str, queue: &str, message: &Value, parent: &Span) -> Option<ProcessSpan> {
        let reported = self.0.as_ref()?;
        message.is_object().then(|| reported.telemetry.process_span(system, queue, message, parent.context()))
    }

    /// Counts a run that ended.
    pub fn ended(
        &self,
        span: &mut Span,
        flow: &str,
        (state, code): (RunState, Option<Code>),
        elapsed: Duration,
    ) {
        if let Some(guard) = &mut span.guard {
            guard.set("chassis.outcome", state.as_str());
        }
        self.with(flow, |flow| flow.finished(state.as_str(), code, elapsed, span.context()));
    }

    /// Measures a step's work, or that of one of its items.
    pub fn step_ended(&self, flow: &Flow, step: &str, elapsed: Duration) {
        self.with(&flow.name, |flow| flow.step_ended(step, elapsed));
    }

    /// Counts a try of a step's undo that failed.
    pub fn undo_failed(&self, flow: &Flow, step: &str) {
        self.with(&flow.name, |flow| flow.undo_failed(step));
    }

    /// Says how many runs of each flow are stuck; of those not named none is.
    pub fn stuck(&self, stuck: &[(String, i64)]) {
        let Some(reported) = &self.0 else { return };
        let count = |flow: &str| stuck.iter().find(|(name, _)| name == flow).map_or(0, |(_, count)| *count);
        reported.flows.load().iter().for_each(|(flow, telemetry)| telemetry.stuck(count(flow)));
    }

    fn with<T>(&self, flow: &str, act: impl FnOnce(&FlowTelemetry) -> T) -> Option<T> {
        self.0.as_ref()?.flows.load().get(flow).map(act)
    }

    fn start<const N: usize>(
        &self,
        name: String,
        parent: &SpanContext,
        attributes: [(&'static str, &str); N],
    ) -> Span {
        let attributes = attributes.map(|(name, value)| KeyValue::new(name, value.to_owned()));
        let guard = self
            .0
            .as_ref()
            .map(|reported| reported.telemetry.span(name, SpanKind::Internal, parent, attributes));
        Span { guard, parent: parent.clone(), _active: None }
    }
}

impl Span {
    /// What a child names as its parent.
    pub fn context(&self) -> &SpanContext {
        self.guard.as_ref().map_or(&self.parent, SpanGuard::context)
    }

    /// Marks it as failed.
    pub fn failed(&mut self, failure: &CallFailure) {
        if let Some(guard) = &mut self.guard {
            guard.fail(failure.code().as_str(), failure.error.message.clone());
        }
    }

    /// The trace it belongs to.
    pub fn trace_id(&self) -> Option<String> {
        let context = self.context();
        context.is_valid().then(|| context.trace_id().to_string())
    }
}
