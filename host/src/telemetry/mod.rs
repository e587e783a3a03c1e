//! Traces, metrics and logs. The host makes all of it from a plugin's manifest and the call: a plugin writes none.
//!
//! [`Telemetry`] is the way in. [`OperationTelemetry`] reports the calls of one operation of one instance, [`SpanGuard`] the coarse
//! spans around them (edge, flow, step).

pub mod address;
pub mod call;
mod calls;
mod catalogue;
mod database;
mod exemplar;
mod failure;
mod failure_log;
mod flow;
mod histogram;
mod http;
pub mod levels;
pub mod logs;
mod memory;
mod messaging;
pub mod metrics;
mod openmetrics;
mod pace;
mod pipeline;
pub mod pointer;
mod process;
pub mod propagation;
mod recording;
mod ring;
pub mod sampling;
mod server;
pub mod services;
pub mod setup;
mod shape;
pub mod span;
pub mod sql;
pub mod waterfall;

pub use call::{CallSpan, OperationTelemetry};
pub use flow::{Active, FlowTelemetry};
pub use logs::LogFormat;
pub use messaging::ProcessSpan;
pub use openmetrics::Form;
pub use ring::{Trace, TraceSpan, TraceSummary};
pub use server::{Route, ServerRequest, ServerSpan};
pub use services::Services;
pub use setup::{Config, StartError};
pub use span::{SpanGuard, in_span};

use self::failure_log::{FailureLog, FailureLogs};
use self::metrics::Metrics;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanKind, TraceId};
use pipeline::Pipeline;
use sampling::Sampler;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Traces, metrics and logs of this process. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    parts: setup::Parts,
    process: process::Process,
    failures: FailureLogs,
    at_scrape: Mutex<Vec<AtScrape>>,
}

/// Sets gauges; answers whether it wants to be asked again.
type AtScrape = Box<dyn Fn(&Metrics) -> bool + Send>;

/// How long a stop waits for the collector.
const FLUSH: Duration = Duration::from_secs(3);

impl Telemetry {
    /// Starts. Wants to be called on a tokio runtime: the exporter's connection lives there.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_with(config, &setup::environment)
    }

    /// Tells what [`Telemetry::start`] would refuse, and starts nothing.
    pub fn check(config: &Config) -> Result<(), StartError> {
        setup::check(config, &setup::environment)
    }

    fn start_with(config: &Config, variable: setup::Variable<'_>) -> Result<Self, StartError> {
        let parts = setup::start(config, variable)?;
        let process = process::Process::new(&parts.metrics);
        Ok(Self(Arc::new(Inner {
            parts,
            process,
            failures: FailureLogs::default(),
            at_scrape: Mutex::default(),
        })))
    }

    /// Starts a span. A parent that is not valid ([`SpanContext::NONE`]) starts a trace.
    pub fn span(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        parent: &SpanContext,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) -> SpanGuard {
        SpanGuard::start(self.clone(), name, kind, parent, attributes)
    }

    /// All metrics in Prometheus' text form.
    pub fn prometheus(&self) -> String {
        self.read().render()
    }

    /// All metrics as OpenMetrics, with examples of durations.
    pub fn openmetrics(&self) -> String {
        self.read().render_openmetrics()
    }

    /// The metrics, with those that are only found out when somebody reads them.
    fn read(&self) -> &Metrics {
        self.0.process.collect(self.metrics());
        self.0.at_scrape.lock().unwrap_or_else(PoisonError::into_inner).retain(|set| set(self.metrics()));
        self.metrics()
    }

    /// Has gauges set whenever somebody reads the metrics, as long as `set` answers true: for numbers that change with every call.
    pub fn at_scrape(&self, set: impl Fn(&Metrics) -> bool + Send + 'static) {
        self.0.at_scrape.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(set));
    }

    /// Registers handles.
    pub fn metrics(&self) -> &Metrics {
        &self.0.parts.metrics
    }

    /// The finished spans of a trace that is still in memory; `id` is 32 hex digits.
    pub fn trace(&self, id: &str) -> Option<Trace> {
        self.pipeline().ring().trace(TraceId::from_hex(id).ok()?)
    }

    /// The last trace in memory, of those whose first span has no name that is passed over.
    pub fn last_trace(&self, pass_over: impl Fn(&str) -> bool) -> Option<Trace> {
        self.pipeline().ring().last(pass_over)
    }

    /// Why no trace that begins here is ever in memory, if that is so.
    pub fn keeps_no_traces(&self) -> Option<&'static str> {
        if !self.sampler().begins() {
            Some(
                "this host records no trace that begins here: OTEL_TRACES_SAMPLER, or OTEL_SDK_DISABLED, says so",
            )
        } else if self.pipeline().ring().is_off() {
            Some("this host keeps no traces in memory: telemetry.memory_spans is 0")
        } else {
            None
        }
    }

    /// The last traces in memory, newest first.
    pub fn traces(&self) -> Vec<TraceSummary> {
        self.pipeline().ring().recent()
    }

    /// Sends what waits, at most 5 s.
    pub async fn flush(&self) {
        let pipeline = self.0.parts.pipeline.clone();
        // The exporter blocks its caller; a worker of the runtime must not.
        let _ = tokio::task::spawn_blocking(move || pipeline.flush()).await;
    }

    /// Sends what waits, then stops.
    pub async fn shutdown(self) {
        self.0.failures.flush();
        let provider = self.0.parts.provider.clone();
        let stopped = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH)).await;
        if let Ok(Err(error)) = stopped {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }

    pub(crate) fn failures(&self, instance: &str) -> Arc<FailureLog> {
        self.0.failures.of(self.metrics(), instance)
    }

    pub(crate) fn sampler(&self) -> &Sampler {
        &self.0.parts.sampler
    }

    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.0.parts.pipeline
    }
}
