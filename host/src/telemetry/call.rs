//! One call: its span, and what the metrics count of it.

use super::Telemetry;
use super::failure_log::FailedCall;
use super::propagation;
use super::recording::Recording;
use super::shape::{Kind, Outcome, Shape};
use super::span::Scoped;
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
    /// When its last try began.
    sent: Instant,
    attempts: u32,
    recording: Option<Box<Recording>>,
    /// What the kind must know of the input for its metrics (HTTP: the method).
    hint: u8,
    /// Made by the host of calls that are measured by themselves.
    gathered: bool,
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
            let generation = KeyValue::new("chassis.generation", generation as i64);
            shape.attributes = shape.attributes.iter().cloned().chain([generation]).collect();
        }
        self
    }

    /// A call begins now.
    pub fn start(&self, parent: &SpanContext, input: &[u8], now: Instant) -> CallSpan {
        let shape = &self.0;
        let context = shape.telemetry.sampler().child(parent);
        let recording = context.is_sampled().then(|| shape.record(parent, input));
        self.begun(context, recording, input, now)
    }

    /// A batch begins now that the host made of calls of their own: its span links to theirs, and is recorded if one of them is.
    /// What the conventions measure is measured of them.
    pub fn start_gathered<'a>(
        &self,
        items: impl Iterator<Item = &'a SpanContext> + Clone,
        input: &[u8],
        now: Instant,
    ) -> CallSpan {
        let shape = &self.0;
        let recorded = items.clone().any(SpanContext::is_sampled);
        let context = shape.telemetry.sampler().root(recorded);
        let recording = recorded.then(|| {
            let mut recording = shape.record(&SpanContext::NONE, input);
            items.for_each(|item| recording.link(item.clone()));
            recording
        });
        let mut span = self.begun(context, recording, input, now);
        span.gathered = true;
        span
    }

    fn begun(
        &self,
        context: SpanContext,
        recording: Option<Box<Recording>>,
        input: &[u8],
        now: Instant,
    ) -> CallSpan {
        let shape = &self.0;
        let hint = match &shape.kind {
            Kind::Http(http) => http.method(input),
            _ => 0,
        };
        CallSpan {
            shape: shape.clone(),
            context,
            started: now,
            sent: now,
            attempts: 1,
            recording,
            hint,
            gathered: false,
            finished: false,
        }
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

    /// The call is tried again, after the try before failed `at` that moment. Of a request over HTTP each try is a span of its own, below the same parent; anything else has one
    /// for all.
    #[cold]
    pub fn resend(&mut self, number: u32, failure: &CallFailure, at: Instant, input: &[u8]) {
        self.attempts = number;
        let shape = self.shape.clone();
        let Kind::Http(http) = &shape.kind else { return };
        let outcome = Outcome::of(Err(failure));
        let elapsed = at.saturating_duration_since(self.sent);
        http.measure(shape.telemetry.metrics(), self.hint, outcome, elapsed);
        self.sent = Instant::now();
        let Some(mut before) = self.recording.take() else { return };
        let mut next = shape.record(&self.context, input);
        (next.parent, next.parent_is_remote) = (before.parent, before.parent_is_remote);
        next.set(KeyValue::new("http.request.resend_count", i64::from(number - 1)));
        if number > 2 {
            before.set(KeyValue::new("chassis.attempt", i64::from(number - 1)));
        }
        shape.conclude(&mut before, outcome);
        before.finish(shape.telemetry.pipeline(), &self.context, elapsed);
        self.context = shape.telemetry.sampler().sibling(&self.context);
        self.recording = Some(next);
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
        let ended = Instant::now();
        let (elapsed, last) = (ended - self.started, ended - self.sent);
        let shape = &*self.shape;
        shape.calls.measure(&shape.telemetry, outcome, elapsed, &self.context);
        let metrics = shape.telemetry.metrics();
        match &shape.kind {
            _ if self.gathered => {}
            Kind::Database(database) => database.measure(metrics, outcome, elapsed),
            Kind::Messaging(messaging) => messaging.measure(metrics, outcome, elapsed),
            Kind::Http(http) => http.measure(metrics, self.hint, outcome, last),
            Kind::Internal(_) => {}
        }
        if let (Outcome::Error(failure) | Outcome::Refused(failure), false) = (outcome, self.gathered) {
            let (operation, context, attempts) = (&*shape.operation, &self.context, self.attempts);
            shape.failures.tell(FailedCall { operation, failure, context, elapsed, attempts });
        }
        let Some(mut recording) = self.recording.take() else { return };
        if self.attempts > 1 {
            recording.set(KeyValue::new("chassis.attempt", i64::from(self.attempts)));
        }
        shape.conclude(&mut recording, outcome);
        let elapsed = if matches!(shape.kind, Kind::Http(_)) { last } else { elapsed };
        recording.finish(shape.telemetry.pipeline(), &self.context, elapsed);
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
