//! Spans: those of the edge, of flows and steps as guards, and what all spans are made of. A span is built only for a trace that is
//! recorded, and goes to the pipeline when it ends; the SDK's tracer would ask its sampler, lock and copy once more for each.

use super::Telemetry;
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt};
use opentelemetry::{Context, Key, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use pin_project_lite::pin_project;
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Waker, Poll};
use std::time::{Duration, Instant, SystemTime};

/// A span that ends when the guard is dropped.
pub struct SpanGuard {
    telemetry: Telemetry,
    context: SpanContext,
    started: Instant,
    recording: Option<Box<Recording>>,
}

/// What is known of a span while it runs.
pub(super) struct Recording {
    pub parent: SpanId,
    pub parent_is_remote: bool,
    pub kind: SpanKind,
    pub name: Cow<'static, str>,
    pub start: SystemTime,
    pub attributes: Vec<KeyValue>,
    pub links: Vec<Link>,
    pub status: Status,
}

pin_project! {
    /// A future that runs below a span.
    pub struct Scoped<F> {
        #[pin]
        future: F,
        context: Option<Context>,
    }
}

/// Longer texts are cut: a span is no place for a document.
const MAX_TEXT: usize = 4096;
/// Links beyond these are left out: a stream may bring any number of messages.
const MAX_LINKS: usize = 128;

/// Runs a future below a span: what is logged meanwhile carries its ids, and `tracing` spans become its children.
pub fn in_span<F: Future>(context: &SpanContext, future: F) -> Scoped<F> {
    Scoped { future, context: Some(Context::new().with_remote_span_context(context.clone())) }
}

impl SpanGuard {
    pub(super) fn start(
        telemetry: Telemetry,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        parent: &SpanContext,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) -> Self {
        let context = telemetry.sampler().child(parent);
        let recording = context.is_sampled().then(|| {
            let mut recording = Recording::new(name.into(), kind, parent);
            recording.attributes.extend(attributes);
            Box::new(recording)
        });
        Self { telemetry, context, started: Instant::now(), recording }
    }

    /// What a span below this one has as its parent.
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Whether anything that is set here is kept. Ask before computing a costly value.
    pub fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sets an attribute.
    pub fn set(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        if let Some(recording) = &mut self.recording {
            recording.set(KeyValue::new(key, value));
        }
    }

    /// Names the span anew (the edge knows the route only after routing).
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        if let Some(recording) = &mut self.recording {
            recording.name = name.into();
        }
    }

    /// Links to a span, of another trace as a rule.
    pub fn link(&mut self, to: SpanContext) {
        if let Some(recording) = &mut self.recording {
            recording.link(to);
        }
    }

    /// Marks the span as failed, with `error.type` and a description.
    pub fn fail(&mut self, error_type: impl Into<Value>, description: impl Into<Cow<'static, str>>) {
        if let Some(recording) = &mut self.recording {
            recording.fail(error_type, description);
        }
    }

    /// Runs a future below this span: see [`in_span`].
    pub fn scope<F: Future>(&self, future: F) -> Scoped<F> {
        in_span(&self.context, future)
    }

    /// Ends it.
    pub fn end(self) {}
}

impl<F: Future> Scoped<F> {
    /// The same for a call: only one that is recorded pays for it.
    pub(super) fn when(recorded: bool, context: &SpanContext, future: F) -> Self {
        if recorded { in_span(context, future) } else { Self { future, context: None } }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Waker<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _current = this.context.clone().map(Context::attach);
        this.future.poll(cx)
    }
}

impl Drop for SpanGuard {
    fn drop(&mut self) {
        if let Some(recording) = self.recording.take() {
            recording.finish(&self.telemetry, &self.context, self.started.elapsed());
        }
    }
}

impl Recording {
    pub fn new(name: Cow<'static, str>, kind: SpanKind, parent: &SpanContext) -> Self {
        Self {
            parent: parent.span_id(),
            parent_is_remote: parent.is_valid() && parent.is_remote(),
            kind,
            name,
            start: SystemTime::now(),
            attributes: Vec::new(),
            links: Vec::new(),
            status: Status::Unset,
        }
    }

    pub fn set(&mut self, attribute: KeyValue) {
        match self.attributes.iter_mut().find(|present| present.key == attribute.key) {
            Some(present) => *present = attribute,
            None => self.attributes.push(attribute),
        }
    }

    pub fn link(&mut self, to: SpanContext) {
        if to.is_valid() && self.links.len() < MAX_LINKS {
            self.links.push(Link::with_context(to));
        }
    }

    pub fn fail(&mut self, error_type: impl Into<Value>, description: impl Into<Cow<'static, str>>) {
        self.set(KeyValue::new("error.type", error_type));
        self.status = Status::error(description);
    }

    pub fn finish(mut self, telemetry: &Telemetry, context: &SpanContext, elapsed: Duration) {
        self.attributes.iter_mut().for_each(shorten);
        let mut links = SpanLinks::default();
        links.links = self.links;
        telemetry.pipeline().finished(SpanData {
            span_context: context.clone(),
            parent_span_id: self.parent,
            parent_span_is_remote: self.parent_is_remote,
            span_kind: self.kind,
            name: self.name,
            start_time: self.start,
            end_time: self.start + elapsed,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: self.status,
            instrumentation_scope: telemetry.scope().clone(),
        });
    }
}

fn shorten(attribute: &mut KeyValue) {
    if let Value::String(text) = &attribute.value
        && text.as_str().len() > MAX_TEXT
    {
        let text = text.as_str();
        attribute.value = text[..text.floor_char_boundary(MAX_TEXT)].to_owned().into();
    }
}
