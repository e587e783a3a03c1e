//! What a recorded span is made of, while it runs and when it has ended. What all spans of an operation have in common is shared: a
//! span has of its own only what varies, and is put together for who wants it whole, the exporter or a reader.

use super::pipeline::Pipeline;
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A recorded span.
#[derive(Debug)]
pub struct Recording {
    pub(super) context: SpanContext,
    pub(super) parent: SpanId,
    pub(super) parent_is_remote: bool,
    pub(super) kind: SpanKind,
    pub(super) name: StringValue,
    pub(super) start: SystemTime,
    pub(super) elapsed: Duration,
    /// What all spans of its operation say.
    pub(super) common: Arc<[KeyValue]>,
    /// What it says itself; goes before what they have in common.
    pub(super) attributes: Vec<KeyValue>,
    pub(super) links: Vec<Link>,
    pub(super) status: Status,
}

/// Longer texts are cut: a span is no place for a document.
const MAX_TEXT: usize = 4096;
/// Links beyond these are left out: a stream may bring any number of messages.
const MAX_LINKS: usize = 128;
/// Room for what most spans say themselves.
const ROOM: usize = 6;

impl Recording {
    pub(super) fn new(
        name: impl Into<StringValue>,
        kind: SpanKind,
        parent: &SpanContext,
        common: Arc<[KeyValue]>,
    ) -> Box<Self> {
        Box::new(Self {
            context: SpanContext::NONE,
            parent: parent.span_id(),
            parent_is_remote: parent.is_valid() && parent.is_remote(),
            kind,
            name: name.into(),
            start: SystemTime::now(),
            elapsed: Duration::ZERO,
            common,
            attributes: Vec::with_capacity(ROOM),
            links: Vec::new(),
            status: Status::Unset,
        })
    }

    pub(super) fn set(&mut self, attribute: KeyValue) {
        match self.attributes.iter_mut().find(|present| present.key == attribute.key) {
            Some(present) => *present = attribute,
            None => self.attributes.push(attribute),
        }
    }

    pub(super) fn link(&mut self, to: SpanContext) {
        if to.is_valid() && self.links.len() < MAX_LINKS {
            self.links.push(Link::with_context(to));
        }
    }

    pub(super) fn fail(&mut self, error_type: impl Into<Value>, description: impl Into<Cow<'static, str>>) {
        self.set(KeyValue::new("error.type", error_type));
        self.status = Status::error(description);
    }

    pub(super) fn finish(mut self: Box<Self>, pipeline: &Pipeline, context: &SpanContext, elapsed: Duration) {
        self.attributes.iter_mut().for_each(shorten);
        self.context = context.clone();
        self.elapsed = elapsed;
        pipeline.finished(self);
    }

    /// All it says.
    pub(super) fn all_attributes(&self) -> impl Iterator<Item = &KeyValue> {
        let own = |common: &KeyValue| self.attributes.iter().any(|attribute| attribute.key == common.key);
        self.common.iter().filter(move |common| !own(common)).chain(&self.attributes)
    }

    /// When it ended.
    pub(super) fn end(&self) -> SystemTime {
        self.start + self.elapsed
    }

    /// As the exporter takes it.
    pub(super) fn to_data(&self, scope: &InstrumentationScope) -> SpanData {
        let mut links = SpanLinks::default();
        links.links.clone_from(&self.links);
        SpanData {
            span_context: self.context.clone(),
            parent_span_id: self.parent,
            parent_span_is_remote: self.parent_is_remote,
            span_kind: self.kind.clone(),
            name: self.name.as_str().to_owned().into(),
            start_time: self.start,
            end_time: self.end(),
            attributes: self.all_attributes().cloned().collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: self.status.clone(),
            instrumentation_scope: scope.clone(),
        }
    }
}

impl From<&SpanData> for Recording {
    /// Of a span that the SDK made.
    fn from(span: &SpanData) -> Self {
        Self {
            context: span.span_context.clone(),
            parent: span.parent_span_id,
            parent_is_remote: span.parent_span_is_remote,
            kind: span.span_kind.clone(),
            name: span.name.clone().into(),
            start: span.start_time,
            elapsed: span.end_time.duration_since(span.start_time).unwrap_or_default(),
            common: Arc::default(),
            attributes: span.attributes.clone(),
            links: span.links.links.clone(),
            status: span.status.clone(),
        }
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
