//! The last finished spans, in memory: for `chassis demo`, `/v1/traces/{id}` and whoever has no Jaeger at hand.

use super::recording::Recording;
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
use opentelemetry::{Array, Value};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

/// The last finished spans, oldest first. A span costs one push; traces are put together when somebody asks.
#[derive(Debug)]
pub struct Ring {
    spans: Mutex<VecDeque<Box<Recording>>>,
    max_spans: usize,
    max_traces: usize,
}

/// A trace: its finished spans, by start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Its id, 32 hex digits.
    pub trace_id: String,
    /// Its spans.
    pub spans: Vec<TraceSpan>,
}

/// A finished span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceSpan {
    /// Its id, 16 hex digits.
    pub span_id: String,
    /// The span above it; none for a root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// Its name.
    pub name: String,
    /// `internal`, `server`, `client`, `producer`, `consumer`.
    pub kind: Cow<'static, str>,
    /// Start in microseconds of the Unix epoch.
    pub start_us: u64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// Why it failed; none if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its attributes.
    #[serde(default)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
    /// Spans of other traces (or this one) that it links to, as `trace id:span id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
}

/// A trace in one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceSummary {
    /// Its id.
    pub trace_id: String,
    /// Name of its first span without a parent here.
    pub name: String,
    /// Start of that span, in microseconds of the Unix epoch.
    pub start_us: u64,
    /// How long that span took, in microseconds.
    pub duration_us: u64,
    /// How many spans there are.
    pub spans: usize,
    /// Whether one of them failed.
    pub failed: bool,
}

impl Ring {
    /// Room for so many spans, listed as at most so many traces.
    pub fn new(max_spans: usize, max_traces: usize) -> Self {
        Self { spans: Mutex::default(), max_spans, max_traces }
    }

    /// Takes a finished span; the oldest leaves when there is no room.
    pub fn push(&self, span: Box<Recording>) {
        if self.max_spans == 0 {
            return;
        }
        let mut spans = self.lock();
        let oldest = if spans.len() >= self.max_spans { spans.pop_front() } else { None };
        spans.push_back(span);
        drop(spans);
        // Freed outside of the lock.
        drop(oldest);
    }

    /// The finished spans of a trace.
    pub fn trace(&self, id: TraceId) -> Option<Trace> {
        let mut spans: Vec<TraceSpan> = self
            .lock()
            .iter()
            .filter(|span| span.context.trace_id() == id)
            .map(|span| TraceSpan::from(&**span))
            .collect();
        spans.sort_by_key(|span| span.start_us);
        (!spans.is_empty()).then(|| Trace { trace_id: id.to_string(), spans })
    }

    /// The last trace whose root is finished, and has no name that is passed over.
    pub fn last(&self, pass_over: impl Fn(&str) -> bool) -> Option<Trace> {
        let wanted = |span: &Recording| is_root(span) && !pass_over(span.name.as_str());
        let found = self.lock().iter().rev().find(|span| wanted(span)).map(|span| span.context.trace_id());
        self.trace(found?)
    }

    /// Whether nothing is kept.
    pub fn is_off(&self) -> bool {
        self.max_spans == 0
    }

    /// The last traces whose root is finished, newest first.
    pub fn recent(&self) -> Vec<TraceSummary> {
        let mut seen = HashSet::new();
        let roots: Vec<TraceId> = self
            .lock()
            .iter()
            .rev()
            .filter(|span| is_root(span))
            .map(|span| span.context.trace_id())
            .filter(|id| seen.insert(*id))
            .take(self.max_traces)
            .collect();
        roots.into_iter().filter_map(|id| self.trace(id)).filter_map(|trace| trace.summary()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Box<Recording>>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trace {
    /// The trace in one line; none when no span is without a parent here.
    pub fn summary(&self) -> Option<TraceSummary> {
        let root = self.spans.iter().find(|span| !self.has(span.parent_id.as_deref()))?;
        Some(TraceSummary {
            trace_id: self.trace_id.clone(),
            name: root.name.clone(),
            start_us: root.start_us,
            duration_us: root.duration_us,
            spans: self.spans.len(),
            failed: self.spans.iter().any(|span| span.error.is_some()),
        })
    }

    fn has(&self, id: Option<&str>) -> bool {
        id.is_some_and(|id| self.spans.iter().any(|span| span.span_id == id))
    }
}

impl From<&Recording> for TraceSpan {
    fn from(span: &Recording) -> Self {
        let parent = span.parent;
        Self {
            span_id: span.context.span_id().to_string(),
            parent_id: (parent != SpanId::INVALID).then(|| parent.to_string()),
            name: span.name.to_string(),
            kind: match span.kind {
                SpanKind::Client => "client",
                SpanKind::Server => "server",
                SpanKind::Producer => "producer",
                SpanKind::Consumer => "consumer",
                SpanKind::Internal => "internal",
            }
            .into(),
            start_us: micros(span.start.duration_since(UNIX_EPOCH).unwrap_or_default()),
            duration_us: micros(span.elapsed),
            error: match &span.status {
                Status::Error { description } => Some(description.to_string()),
                Status::Ok | Status::Unset => None,
            },
            attributes: span.all_attributes().map(|pair| (pair.key.to_string(), json(&pair.value))).collect(),
            links: span
                .links
                .iter()
                .map(|link| format!("{}:{}", link.span_context.trace_id(), link.span_context.span_id()))
                .collect(),
        }
    }
}

fn is_root(span: &Recording) -> bool {
    span.parent == SpanId::INVALID || span.parent_is_remote
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::F64(value) => (*value).into(),
        Value::String(value) => value.as_str().into(),
        Value::Array(Array::String(values)) => values.iter().map(|value| value.as_str()).collect(),
        other => other.to_string().into(),
    }
}
