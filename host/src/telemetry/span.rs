//! Spans of the edge, of flows and steps, as guards. A span is built only for a trace that is recorded, and goes to the pipeline when
//! it ends; the SDK's tracer would ask its sampler, lock and copy once more for each.

use super::Telemetry;
use super::recording::Recording;
use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt};
use opentelemetry::{Context, Key, KeyValue, Value};
use pin_project_lite::pin_project;
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Waker, Poll};
use std::time::{Duration, Instant};

/// A span that ends when the guard is dropped.
pub struct SpanGuard {
    telemetry: Telemetry,
    context: SpanContext,
    started: Instant,
    recording: Option<Box<Recording>>,
}

pin_project! {
    /// A future that runs below a span.
    pub struct Scoped<F> {
        #[pin]
        future: F,
        context: Option<Context>,
    }
}

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
            let name: Cow<'static, str> = name.into();
            let mut recording = Recording::new(name, kind, parent, Arc::default());
            recording.attributes.extend(attributes);
            recording
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
            let name: Cow<'static, str> = name.into();
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
            recording.finish(self.telemetry.pipeline(), &self.context, self.started.elapsed());
        }
    }
}
