//! One call: its span, and what the metrics count of it.

use super::Telemetry;
use super::propagation;
use super::shape::{Kind, Outcome, Shape};
use super::span::{Recording, Scoped};
use crate::error::{CallError, CallFailure};
use crate::request::Reply;
use chassis_abi::manifest::{Manifest, Operation};
use chassis_loader::StreamObserver;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanContext;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

/// Reports the calls of one operation of one instance. Made when the instance is: what does not vary is computed here.
#[derive(Clone)]
pub struct OperationTelemetry(Arc<Shape>);

/// A call that is under way. Dropped unfinished, it counts as cancelled.
#[must_use = "dropping it reports the call as cancelled"]
pub struct CallSpan {
    shape: Arc<Shape>,
    context: SpanContext,
    started: Instant,
    recording: Option<Box<Recording>>,
    /// What the kind must know of the input for its metrics (HTTP: the method).
    hint: u8,
    finished: bool,
}

/// A call that is answered by a stream. Dropped, it ends well: who has enough of a stream drops it.
struct StreamSpan(CallSpan);

impl OperationTelemetry {
    /// Registers the operation's metrics and prepares its spans.
    pub fn new(
        telemetry: &Telemetry,
        manifest: &Manifest,
        op: &Operation,
        instance: &str,
        config: &Value,
    ) -> Self {
        Self(Arc::new(Shape::new(telemetry, manifest, op, instance, config)))
    }

    /// The same, told of a build of the plugin (`chassis.generation`). Wanted before the first call.
    pub fn generation(mut self, generation: u64) -> Self {
        if let Some(shape) = Arc::get_mut(&mut self.0) {
            shape.attributes.push(KeyValue::new("chassis.generation", generation as i64));
        }
        self
    }

    /// A call begins.
    pub fn start(&self, parent: &SpanContext, input: &[u8]) -> CallSpan {
        let shape = &self.0;
        let context = shape.telemetry.sampler().child(parent);
        let recording = context.is_sampled().then(|| shape.record(parent, input));
        let hint = match &shape.kind {
            Kind::Http(http) => http.method(input),
            _ => 0,
        };
        CallSpan { shape: shape.clone(), context, started: Instant::now(), recording, hint, finished: false }
    }
}

impl CallSpan {
    /// What the plugin's spans, and its server's, are below.
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// `traceparent` for the plugin; it says 00 when the trace is not recorded.
    pub fn traceparent(&self) -> Arc<str> {
        propagation::traceparent(&self.context)
    }

    /// `tracestate` for the plugin.
    pub fn tracestate(&self) -> Option<Arc<str>> {
        propagation::tracestate(&self.context)
    }

    /// Runs the call below its span, so that what is logged meanwhile carries its ids.
    pub fn scope<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped::when(self.recording.is_some(), &self.context, future)
    }

    /// Sets an attribute that only the way of the call knows (`chassis.attempt`).
    pub fn set(&mut self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        if let Some(recording) = &mut self.recording {
            recording.set(KeyValue::new(key, value));
        }
    }

    /// The call is over, or goes on in the stream that answers it: the span then ends with that. A subscription to messages is over
    /// when it is made, since it may last for ever; each message has its own span when it is processed.
    pub fn finish(mut self, result: &mut Result<Reply, CallFailure>) {
        match result {
            Ok(Reply { stream: Some(stream), .. }) => {
                if let Kind::Messaging(_) = self.shape.kind {
                    self.conclude(Outcome::Ok(b""));
                }
                stream.observe(Box::new(StreamSpan(self)));
            }
            other => self.finish_with(other.as_ref().map(Reply::json)),
        }
    }

    /// The same, of an output that is no reply of its own: one item of a batch.
    pub fn finish_with(mut self, result: Result<&[u8], &CallFailure>) {
        self.conclude(Outcome::of(result));
    }

    fn conclude(&mut self, outcome: Outcome<'_>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let elapsed = self.started.elapsed();
        let shape = &*self.shape;
        shape.calls.measure(&shape.telemetry, outcome, elapsed);
        let metrics = shape.telemetry.metrics();
        match &shape.kind {
            Kind::Database(database) => database.measure(metrics, outcome, elapsed),
            Kind::Messaging(messaging) => messaging.measure(metrics, outcome, elapsed),
            Kind::Http(http) => http.measure(metrics, self.hint, outcome, elapsed),
            Kind::Internal(_) => {}
        }
        let Some(mut recording) = self.recording.take() else { return };
        recording.set(KeyValue::new("chassis.outcome", outcome.name()));
        match outcome {
            Outcome::Ok(output) => {
                for (key, pointer) in &shape.outputs {
                    if let Some(value) = pointer.read(output) {
                        recording.set(KeyValue::new(key.clone(), value.into_value()));
                    }
                }
            }
            Outcome::Error(failure) => {
                let status = failure.error.status.as_deref();
                let error_type = status.unwrap_or(failure.code().as_str()).to_owned();
                recording.fail(error_type, failure.error.message.clone());
            }
            Outcome::Refused(failure) => {
                let policy = failure.refused_by.unwrap_or_default();
                recording
                    .fail(failure.code().as_str(), format!("refused by {policy}: {}", failure.error.message));
            }
            // The caller's doing, hence no error of the server's: `chassis.outcome` tells.
            Outcome::Cancelled => {}
        }
        match &shape.kind {
            Kind::Database(database) => database.conclude(&mut recording, outcome),
            Kind::Messaging(messaging) => messaging.conclude(&mut recording, outcome),
            Kind::Http(http) => http.conclude(&mut recording, outcome),
            Kind::Internal(_) => {}
        }
        recording.finish(&shape.telemetry, &self.context, elapsed);
    }
}

impl StreamObserver for StreamSpan {
    fn item(&mut self, _: &Reply) {
        if let Kind::Messaging(messaging) = &self.0.shape.kind {
            messaging.delivered(1);
        }
    }

    fn failed(&mut self, error: &CallError) {
        self.0.conclude(Outcome::of(Err(&error.clone().into())));
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        self.conclude(Outcome::Cancelled);
    }
}

impl Drop for StreamSpan {
    fn drop(&mut self) {
        self.0.conclude(Outcome::Ok(b""));
    }
}
