//! What a call carries through the host.

use crate::policy::Overrides;
use bytes::Bytes;
pub use chassis_loader::{ItemStream, Reply, Upload};
use opentelemetry::trace::SpanContext;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// One use of an operation, before it has met an instance.
#[derive(Default)]
pub struct Request {
    /// Input as JSON; empty means `{}`.
    pub json: Bytes,
    /// Raw attachment beside the JSON.
    pub raw: Bytes,
    /// On whose behalf, by when, below which span.
    pub context: Context,
    /// Items going to the plugin.
    pub upload: Option<Upload>,
}

/// What a call inherits from where it came from. Cheap to clone: a flow hands it to every step.
#[derive(Clone, Debug)]
pub struct Context {
    /// The parent span; [`SpanContext::NONE`] starts a trace.
    pub trace: SpanContext,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// Under which a repeated call must not take effect twice.
    pub idempotency_key: Option<Arc<str>>,
    /// On whose behalf.
    pub tenant: Option<Arc<str>>,
    /// Where this call's policies differ from the configured ones: a step of a flow may say so.
    pub overrides: Option<Arc<Overrides>>,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            trace: SpanContext::NONE,
            deadline: None,
            idempotency_key: None,
            tenant: None,
            overrides: None,
        }
    }
}

impl Request {
    /// A call with JSON input.
    pub fn new(json: impl Into<Bytes>) -> Self {
        Self { json: json.into(), ..Self::default() }
    }

    /// A call with this value as its input.
    pub fn of(input: &serde_json::Value) -> Self {
        Self::new(input.to_string())
    }

    /// The same call with another context.
    pub fn with_context(self, context: Context) -> Self {
        Self { context, ..self }
    }
}

impl Context {
    /// The same, but not later than `after` from now.
    pub fn within(mut self, after: Duration) -> Self {
        let by = Instant::now() + after;
        self.deadline = Some(self.deadline.map_or(by, |deadline| deadline.min(by)));
        self
    }
}
