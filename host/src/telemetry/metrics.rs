//! The recorder of metrics, the buckets of each histogram, and the handles that other modules ask for. A handle is registered once and
//! then used without a look-up.

use super::histogram::Histograms;
use crate::policy::Meters;
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::sync::Arc;

/// Buckets of `db.client.operation.duration`.
pub const DATABASE_BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
/// Buckets of the durations of messaging and HTTP.
pub const MESSAGING_HTTP_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Buckets of our own durations: a call may take microseconds, a flow seconds.
pub const OWN_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Every histogram there is, with its buckets and what it says.
pub const HISTOGRAMS: &[(&str, &[f64], &str)] = &[
    ("db_client_operation_duration_seconds", DATABASE_BUCKETS, "Duration of database client operations."),
    (
        "messaging_client_operation_duration_seconds",
        MESSAGING_HTTP_BUCKETS,
        "Duration of messaging client operations.",
    ),
    ("messaging_process_duration_seconds", MESSAGING_HTTP_BUCKETS, "Duration of processing a message."),
    ("http_client_request_duration_seconds", MESSAGING_HTTP_BUCKETS, "Duration of HTTP client requests."),
    ("http_server_request_duration_seconds", MESSAGING_HTTP_BUCKETS, "Duration of HTTP server requests."),
    (
        "chassis_call_duration_seconds",
        OWN_BUCKETS,
        "Duration of calls, policies included; refused and cancelled ones are not in it.",
    ),
    ("chassis_flow_duration_seconds", OWN_BUCKETS, "Duration of flow runs, undo included."),
];

const COUNTERS: &[(&str, &str)] = &[
    (
        "chassis_calls_total",
        "Calls by outcome: ok, error, refused (by a policy, nothing was sent) or cancelled.",
    ),
    ("chassis_faults_injected_total", "Faults injected on purpose."),
    ("chassis_flow_runs_total", "Flow runs by outcome."),
    (
        "chassis_spans_dropped_total",
        "Spans that could not be exported: the queue was full, or the collector did not take them.",
    ),
    ("chassis_breaker_transitions_total", "Turns of a breaker, by the state turned to."),
    ("chassis_retries_total", "Tries after the first one."),
    (
        "chassis_retry_budget_exhausted_total",
        "Retries that were not made, as the instance had made its share.",
    ),
    ("messaging_client_sent_messages_total", "Messages that producers tried to send."),
    ("messaging_client_consumed_messages_total", "Messages delivered to the application."),
];

const GAUGES: &[(&str, &str)] = &[
    ("chassis_bulkhead_in_flight", "Calls in flight of an instance."),
    ("chassis_breaker_state", "How a breaker stands: 0 closed, 1 half-open, 2 open."),
    ("chassis_flow_stuck", "Runs whose undo is blocked: they wait for resume or skip."),
    ("chassis_plugin_info", "A loaded plugin; always 1."),
    ("chassis_plugin_healthy", "1 if the instance's last health check succeeded, else 0."),
    ("db_client_connection_count", "Connections of a pool by state."),
    ("db_client_connection_max", "The most connections that a pool may have."),
    ("db_client_connection_pending_requests", "Requests that wait for a connection."),
    ("chassis_runtime_workers", "Worker threads of the async runtime."),
    ("chassis_runtime_alive_tasks", "Tasks of the async runtime that are not finished."),
    ("chassis_runtime_global_queue_depth", "Tasks that wait in the runtime's global queue."),
    ("chassis_runtime_busy_ratio", "Share of the workers' time that was busy since the last reading."),
];

/// Registers metrics and renders them. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    histograms: Arc<Histograms>,
}

impl Default for Metrics {
    /// As [`Metrics::new`] makes it.
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A recorder of its own; the first one in a process is also what the macros of the `metrics` crate write to.
    pub fn new() -> Self {
        let recorder = Arc::new(PrometheusBuilder::new().build_recorder());
        let histograms = Arc::new(Histograms::default());
        for (name, buckets, help) in HISTOGRAMS {
            histograms.declare(name, buckets, help);
        }
        for (name, help) in COUNTERS {
            recorder.describe_counter((*name).into(), None, (*help).into());
        }
        for (name, help) in GAUGES {
            recorder.describe_gauge((*name).into(), None, (*help).into());
        }
        // A second recorder in a process (tests) is no failure; it is only not the macros' one.
        let _ = metrics::set_global_recorder(recorder.clone());
        let handle = recorder.handle();
        Self { recorder, handle, histograms }
    }

    /// All metrics in Prometheus' text form.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        self.histograms.render(&mut text);
        text
    }

    /// Runs `f` so that the macros of the `metrics` crate write here.
    pub fn scope<T>(&self, f: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&*self.recorder, f)
    }

    /// A counter.
    pub fn counter(&self, name: impl Into<SharedString>, labels: Vec<Label>) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    /// A gauge.
    pub fn gauge(&self, name: impl Into<SharedString>, labels: Vec<Label>) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    /// A histogram; its buckets are those of [`HISTOGRAMS`].
    pub fn histogram(&self, name: impl Into<SharedString>, labels: Vec<Label>) -> Histogram {
        // What a plugin registers has a name that is not known here.
        Histogram::from_arc(self.histograms.series(&key(name, labels), OWN_BUCKETS))
    }

    /// Describes a counter, gauge or histogram that is not known here.
    pub fn describe(&self, name: &str, help: &str) {
        let (name, help) = (SharedString::from(name.to_owned()), SharedString::from(help.to_owned()));
        self.recorder.describe_counter(name.clone().into(), None, help.clone());
        self.recorder.describe_gauge(name.clone().into(), None, help.clone());
        self.histograms.declare(&name, OWN_BUCKETS, &help);
    }

    /// `chassis_bulkhead_in_flight` of an instance.
    pub fn bulkhead_in_flight(&self, instance: &str) -> Gauge {
        self.gauge("chassis_bulkhead_in_flight", vec![label("name", instance)])
    }

    /// `chassis_breaker_state` of a breaker, by its name: the instance's.
    pub fn breaker_state(&self, breaker: &str) -> Gauge {
        self.gauge("chassis_breaker_state", vec![label("name", breaker)])
    }

    /// `chassis_retries_total` of an operation.
    pub fn retries(&self, instance: &str, operation: &str) -> Counter {
        self.counter("chassis_retries_total", vec![label("name", instance), label("operation", operation)])
    }

    /// What the policies of an instance count.
    pub fn policies(&self, instance: &str) -> Meters {
        let name = || label("name", instance);
        let to = |state| {
            let labels = vec![name(), Label::from_static_parts("to", state)];
            self.counter("chassis_breaker_transitions_total", labels)
        };
        Meters {
            budget_exhausted: self.counter("chassis_retry_budget_exhausted_total", vec![name()]),
            transitions: [to("closed"), to("half_open"), to("open")],
        }
    }

    /// Says that a plugin is loaded (`chassis_plugin_info`); `isolation` is `none` or `process`.
    pub fn plugin_info(
        &self,
        plugin: &str,
        version: &str,
        abi: (u16, u16),
        generation: u64,
        isolation: &str,
    ) -> Gauge {
        let gauge = self.gauge(
            "chassis_plugin_info",
            vec![
                label("plugin", plugin),
                label("version", version),
                label("abi", &format!("{}.{}", abi.0, abi.1)),
                label("generation", &generation.to_string()),
                label("isolation", isolation),
            ],
        );
        gauge.set(1);
        gauge
    }

    /// `chassis_plugin_healthy` of an instance.
    pub fn plugin_healthy(&self, instance: &str) -> Gauge {
        self.gauge("chassis_plugin_healthy", vec![label("name", instance)])
    }

    /// `chassis_faults_injected_total` of an instance and a kind of fault.
    pub fn faults_injected(&self, instance: &str, kind: &'static str) -> Counter {
        self.counter(
            "chassis_faults_injected_total",
            vec![label("name", instance), Label::from_static_parts("kind", kind)],
        )
    }

    /// What `health` says of an instance's pool, as `db.client.connection.*`.
    pub fn pool(&self, instance: &str, size: u64, idle: u64, max: u64, pending: u64) {
        let pool = || label("db_client_connection_pool_name", instance);
        let state = |state| vec![pool(), label("db_client_connection_state", state)];
        self.gauge("db_client_connection_count", state("idle")).set(idle as f64);
        self.gauge("db_client_connection_count", state("used")).set(size.saturating_sub(idle) as f64);
        self.gauge("db_client_connection_max", vec![pool()]).set(max as f64);
        self.gauge("db_client_connection_pending_requests", vec![pool()]).set(pending as f64);
    }
}

/// A label with a value that is not static.
pub fn label(name: &'static str, value: &str) -> Label {
    Label::new(name, value.to_owned())
}

static METADATA: Metadata<'static> = Metadata::new("chassis", Level::INFO, None);

fn key(name: impl Into<SharedString>, labels: Vec<Label>) -> Key {
    Key::from_parts(name.into(), labels)
}
