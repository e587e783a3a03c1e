//! What a run leaves in telemetry: a span for the flow, one for each step and undo, one for the processing of a message.

use super::state::RunState;
use crate::error::CallFailure;
use opentelemetry::trace::SpanContext;
use serde_json::Value;
use std::time::Duration;

/// Makes the spans of runs.
#[derive(Clone, Default)]
pub struct Spans;

/// A span that ends when it is dropped.
pub struct Span {
    context: SpanContext,
}

impl Spans {
    /// The span of a run.
    pub fn flow(&self, _flow: &str, _run_id: &str, parent: &SpanContext) -> Span {
        Span { context: parent.clone() }
    }

    /// The span of a step.
    pub fn step(&self, _step: &str, parent: &SpanContext) -> Span {
        Span { context: parent.clone() }
    }

    /// The span of a step's undo.
    pub fn undo(&self, _step: &str, parent: &SpanContext) -> Span {
        Span { context: parent.clone() }
    }

    /// The span of a message's processing.
    pub fn process(&self, message: &Value, parent: &Span) -> Option<Span> {
        message.is_object().then(|| Span { context: parent.context.clone() })
    }

    /// Counts a run that ended.
    pub fn ended(&self, _span: &Span, _flow: &str, _state: RunState, _elapsed: Duration) {}
}

impl Span {
    /// What a child names as its parent.
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Marks it as failed.
    pub fn failed(&self, _failure: &CallFailure) {}

    /// The trace it belongs to.
    pub fn trace_id(&self) -> Option<String> {
        self.context.is_valid().then(|| self.context.trace_id().to_string())
    }
}
