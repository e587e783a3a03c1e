//! What the host offers to a plugin of logs, spans and metrics. What it registers is bounded, and it cannot write to the host's own.

use super::metrics::{HISTOGRAMS, Metrics};
use super::{SpanGuard, Telemetry, levels, logs, propagation};
use ::metrics::{Counter, Gauge, Histogram, Label};
use chassis_loader::{Code, Crash, HostServices, Level, MetricKind};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::runtime::Handle;

/// The host's services for one instance.
pub struct Services {
    telemetry: Telemetry,
    instance: Box<str>,
    runtime: Handle,
    log_level: AtomicU32,
    spans: Mutex<Spans>,
    metrics: RwLock<Vec<Metric>>,
    allocated: AtomicI64,
    crashes: [Counter; Crash::ALL.len()],
}

#[derive(Default)]
struct Spans {
    last: u64,
    open: HashMap<u64, SpanGuard>,
}

enum Metric {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// A plugin that forgets to end its spans loses them, not the host its memory.
const MAX_OPEN_SPANS: usize = 1024;
/// Series of one instance.
const MAX_METRICS: usize = 256;
const MAX_LABELS: usize = 8;
/// Names that begin so are the host's.
const RESERVED: &[&str] = &["chassis_", "db_client_", "messaging_", "http_", "process_"];

impl Services {
    /// For the instance of this name; what its plugin spawns runs on `runtime`.
    pub fn new(telemetry: &Telemetry, plugin: &str, instance: &str, runtime: Handle) -> Arc<Self> {
        let services = Arc::new(Self {
            telemetry: telemetry.clone(),
            instance: instance.into(),
            runtime,
            log_level: AtomicU32::new(levels::plugin_level()),
            spans: Mutex::default(),
            metrics: RwLock::default(),
            allocated: AtomicI64::new(0),
            crashes: Crash::ALL
                .map(|cause| telemetry.metrics().plugin_crashes(plugin, instance, cause.as_str())),
        });
        levels::follow(&services);
        services
    }

    /// Other lines are wanted now.
    pub(super) fn level_changed(&self) {
        self.log_level.store(levels::plugin_level(), Ordering::Relaxed);
    }

    /// What the instance's allocator holds, as far as the plugin tells.
    pub fn allocated_bytes(&self) -> i64 {
        self.allocated.load(Ordering::Relaxed)
    }

    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_span(&self, span: u64, act: impl FnOnce(&mut SpanGuard)) {
        if let Some(guard) = self.spans().open.get_mut(&span) {
            act(guard);
        }
    }

    fn labels(&self, labels: Option<Value>) -> Option<Vec<Label>> {
        let mut all = vec![Label::new("name", self.instance.to_string())];
        if let Some(labels) = labels {
            for (name, value) in labels.as_object()? {
                let value = value.as_str().filter(|_| is_name(name) && name != "name")?;
                all.push(Label::new(name.clone(), value.to_owned()));
            }
        }
        (all.len() <= MAX_LABELS + 1).then_some(all)
    }
}

impl HostServices for Services {
    fn runtime(&self) -> &Handle {
        &self.runtime
    }

    fn log_level(&self) -> &AtomicU32 {
        &self.log_level
    }

    fn log(&self, level: Level, message: &str, fields: Option<Value>) {
        logs::plugin_line(&self.instance, level as u32, message, fields.as_ref());
    }

    fn span_start(&self, traceparent: &str, name: &str, attributes: Option<Value>) -> u64 {
        let parent = propagation::parse(traceparent, None);
        // Without a parent there is no call that it belongs to; unsampled, there is nothing to keep.
        if !parent.is_sampled() {
            return 0;
        }
        let mut spans = self.spans();
        if spans.open.len() >= MAX_OPEN_SPANS {
            return 0;
        }
        let guard = self.telemetry.span(
            name.to_owned(),
            SpanKind::Internal,
            &parent,
            attributes.into_iter().flat_map(pairs),
        );
        spans.last += 1;
        let id = spans.last;
        spans.open.insert(id, guard);
        id
    }

    fn span_attributes(&self, span: u64, attributes: Value) {
        self.with_span(span, |guard| {
            pairs(attributes).into_iter().for_each(|pair| guard.set(pair.key, pair.value))
        });
    }

    fn span_link(&self, span: u64, traceparent: &str) {
        self.with_span(span, |guard| guard.link(propagation::parse(traceparent, None)));
    }

    fn span_end(&self, span: u64, failed: Option<Code>) {
        let ended = self.spans().open.remove(&span);
        if let (Some(mut guard), Some(code)) = (ended, failed) {
            guard.fail(code.as_str(), "");
        }
    }

    fn metric_register(&self, kind: MetricKind, name: &str, help: &str, labels: Option<Value>) -> u64 {
        let known = HISTOGRAMS.iter().any(|(known, ..)| *known == name);
        if known || !is_name(name) || RESERVED.iter().any(|prefix| name.starts_with(prefix)) {
            return 0;
        }
        let Some(labels) = self.labels(labels) else { return 0 };
        let mut registered = self.metrics.write().unwrap_or_else(PoisonError::into_inner);
        if registered.len() >= MAX_METRICS {
            return 0;
        }
        registered.push(register(self.telemetry.metrics(), kind, name, help, labels));
        registered.len() as u64
    }

    fn metric_record(&self, metric: u64, value: f64) {
        let registered = self.metrics.read().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = metric.checked_sub(1).and_then(|at| usize::try_from(at).ok()) else { return };
        match registered.get(at) {
            Some(Metric::Counter(counter)) if value >= 0.0 => counter.increment(value as u64),
            Some(Metric::Gauge(gauge)) => gauge.set(value),
            Some(Metric::Histogram(histogram)) => histogram.record(value),
            Some(Metric::Counter(_)) | None => {}
        }
    }

    fn allocated(&self, bytes: i64) {
        self.allocated.fetch_add(bytes, Ordering::Relaxed);
    }

    fn crashed(&self, cause: Crash) {
        self.crashes[cause as usize].increment(1);
    }
}

fn register(metrics: &Metrics, kind: MetricKind, name: &str, help: &str, labels: Vec<Label>) -> Metric {
    metrics.describe(name, help);
    let name = name.to_owned();
    match kind {
        MetricKind::Counter => Metric::Counter(metrics.counter(name, labels)),
        MetricKind::Gauge => Metric::Gauge(metrics.gauge(name, labels)),
        MetricKind::Histogram => Metric::Histogram(metrics.histogram(name, labels)),
    }
}

/// The members of a JSON object that an attribute can hold.
fn pairs(attributes: Value) -> Vec<KeyValue> {
    let Value::Object(attributes) = attributes else { return Vec::new() };
    let pair = |(name, value): (String, Value)| {
        Some(match value {
            Value::String(text) => KeyValue::new(name, text),
            Value::Bool(value) => KeyValue::new(name, value),
            Value::Number(number) => match number.as_i64() {
                Some(number) => KeyValue::new(name, number),
                None => KeyValue::new(name, number.as_f64()?),
            },
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        })
    };
    attributes.into_iter().filter_map(pair).collect()
}

fn is_name(name: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    name.bytes().next().is_some_and(first) && name.bytes().all(|byte| first(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Config;
    use opentelemetry::trace::SpanContext;
    use serde_json::json;

    fn services() -> (Telemetry, Arc<Services>) {
        let telemetry = Telemetry::start(&Config::default()).unwrap();
        let services = Services::new(&telemetry, "redis", "sessions", Handle::current());
        (telemetry, services)
    }

    #[tokio::test]
    async fn a_plugins_spans_are_below_the_call() {
        let (telemetry, services) = services();
        let call = telemetry.span("call", SpanKind::Client, &SpanContext::NONE, []);
        let parent = call.context().clone();
        let span = services.span_start(
            &propagation::traceparent(&parent),
            "connect",
            Some(json!({"tries": 2, "x": null})),
        );
        services.span_attributes(span, json!({"host": "a"}));
        services.span_link(span, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        services.span_end(span, Some(Code::Unavailable));
        call.end();
        let trace = telemetry.trace(&parent.trace_id().to_string()).unwrap();
        let span = trace.spans.iter().find(|span| span.name == "connect").unwrap();
        assert_eq!(span.parent_id, Some(parent.span_id().to_string()));
        assert_eq!(json!(span.attributes), json!({"tries": 2, "host": "a", "error.type": "unavailable"}));
        assert_eq!(span.links, ["0af7651916cd43dd8448eb211c80319c:b7ad6b7169203331"]);
        assert_eq!(services.span_start("", "nowhere", None), 0);
    }

    #[tokio::test]
    async fn plugins_are_told_when_other_lines_are_wanted() {
        let (_telemetry, services) = services();
        let level = || services.log_level().load(Ordering::Relaxed);
        for (filter, told) in
            [("warn,chassis::plugin=debug", 4), ("error,chassis::plugin=off", 0), ("info", 3)]
        {
            levels::set(filter).unwrap();
            assert_eq!(level(), told, "{filter}");
        }
    }

    #[tokio::test]
    async fn a_plugins_metrics_carry_its_instance_and_leave_the_hosts_alone() {
        let (telemetry, services) = services();
        let metric = services.metric_register(
            MetricKind::Counter,
            "redis_reconnects_total",
            "Reconnects.",
            Some(json!({"why": "eof"})),
        );
        services.metric_record(metric, 2.0);
        services.metric_record(metric + 1, 2.0);
        services.metric_record(0, 2.0);
        let text = telemetry.prometheus();
        assert!(text.contains(r#"redis_reconnects_total{name="sessions",why="eof"} 2"#), "{text}");
        for (name, labels) in [
            ("chassis_calls_total", None),
            ("http_x", None),
            ("Upper", None),
            ("", None),
            ("fine", Some(json!({"name": "other"}))),
            ("fine", Some(json!({"x": 1}))),
        ] {
            assert_eq!(services.metric_register(MetricKind::Gauge, name, "", labels), 0, "{name}");
        }
    }
}
