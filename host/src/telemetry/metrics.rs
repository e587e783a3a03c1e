//! The recorder of metrics, and the handles that other modules ask for. A handle is registered once and then used without a look-up;
//! and where it can be before the first event, so that `increase` sees that one too.

pub use super::catalogue::HISTOGRAMS;
use super::catalogue::{COUNTERS, GAUGES, OWN_BUCKETS};
use super::histogram::{Buckets, Histograms};
use super::openmetrics::{self, Form};
use crate::policy::{Meters, REFUSING};
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::sync::Arc;

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
        self.histograms.render(&mut text, Form::Text);
        text
    }

    /// The same as OpenMetrics, with examples of durations: traces that took so long.
    pub fn render_openmetrics(&self) -> String {
        let mut text = openmetrics::converted(&self.handle.render());
        self.histograms.render(&mut text, Form::OpenMetrics);
        text.push_str("# EOF\n");
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
        Histogram::from_arc(self.buckets(name, labels))
    }

    /// The same as what it is: for who has examples.
    pub fn buckets(&self, name: impl Into<SharedString>, labels: Vec<Label>) -> Arc<Buckets> {
        // What a plugin registers has a name that is not known here.
        self.histograms.series(&key(name, labels), OWN_BUCKETS)
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

    /// Sets `chassis_bulkhead_limit` of an instance; one without a limit has none.
    pub fn bulkhead_limit(&self, instance: &str, limit: usize) {
        if limit < usize::MAX {
            self.gauge("chassis_bulkhead_limit", vec![label("name", instance)]).set(limit as f64);
        }
    }

    /// `chassis_refused_total` of an instance, one for each of [`REFUSING`].
    pub fn refused(&self, instance: &str) -> [Counter; REFUSING.len()] {
        REFUSING.map(|policy| {
            let labels = vec![label("name", instance), Label::from_static_parts("policy", policy)];
            self.counter("chassis_refused_total", labels)
        })
    }

    /// `chassis_plugin_crashes_total` of an instance and a cause.
    pub fn plugin_crashes(&self, plugin: &str, instance: &str, cause: &'static str) -> Counter {
        self.counter(
            "chassis_plugin_crashes_total",
            vec![label("plugin", plugin), label("name", instance), Label::from_static_parts("cause", cause)],
        )
    }

    /// `chassis_boundary_overhead_seconds` of a plugin.
    pub fn boundary_overhead(&self, plugin: &str) -> Histogram {
        self.histogram("chassis_boundary_overhead_seconds", vec![label("plugin", plugin)])
    }

    /// `chassis_queue_messages` of a queue of an instance.
    pub fn queue_messages(&self, instance: &str, queue: &str) -> Gauge {
        self.gauge("chassis_queue_messages", vec![label("name", instance), label("queue", queue)])
    }

    /// What the journal's writer counts.
    pub fn journal(&self) -> crate::journal::Meters {
        crate::journal::Meters {
            written: self.histogram("chassis_journal_write_duration_seconds", Vec::new()),
            failures: self.counter("chassis_journal_write_failures_total", Vec::new()),
        }
    }

    /// `chassis_breaker_state` of a breaker, by its name: the instance's.
    pub fn breaker_state(&self, breaker: &str) -> Gauge {
        self.gauge("chassis_breaker_state", vec![label("name", breaker)])
    }

    /// `chassis_log_lines_suppressed_total` of an instance.
    pub fn lines_suppressed(&self, instance: &str) -> Counter {
        self.counter("chassis_log_lines_suppressed_total", vec![label("name", instance)])
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
