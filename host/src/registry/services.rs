//! What the host offers to one instance: the services of telemetry, with the configured secrets taken out of what is logged.

use crate::config::Secrets;
use crate::telemetry::{self, Telemetry};
use chassis_loader::{Code, Crash, HostServices, Level, MetricKind};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::runtime::Handle;

/// What the host offers to one instance.
pub struct Services {
    telemetry: Arc<telemetry::Services>,
    secrets: Arc<Secrets>,
}

impl Services {
    /// For an instance; on the runtime that makes it.
    pub fn new(plugin: &str, instance: &str, secrets: Arc<Secrets>, telemetry: &Telemetry) -> Self {
        Self { telemetry: telemetry::Services::new(telemetry, plugin, instance, Handle::current()), secrets }
    }

    fn scrubbed(&self, mut value: Value) -> Value {
        scrub(&mut value, &self.secrets);
        value
    }
}

impl HostServices for Services {
    fn runtime(&self) -> &Handle {
        self.telemetry.runtime()
    }

    fn log_level(&self) -> &AtomicU32 {
        self.telemetry.log_level()
    }

    fn log(&self, level: Level, message: &str, fields: Option<Value>) {
        let fields = fields.map(|fields| self.scrubbed(fields));
        self.telemetry.log(level, &self.secrets.scrub(message), fields);
    }

    fn span_start(&self, traceparent: &str, name: &str, attributes: Option<Value>) -> u64 {
        let attributes = attributes.map(|attributes| self.scrubbed(attributes));
        self.telemetry.span_start(traceparent, name, attributes)
    }

    fn span_attributes(&self, span: u64, attributes: Value) {
        self.telemetry.span_attributes(span, self.scrubbed(attributes));
    }

    fn span_link(&self, span: u64, traceparent: &str) {
        self.telemetry.span_link(span, traceparent);
    }

    fn span_end(&self, span: u64, failed: Option<Code>) {
        self.telemetry.span_end(span, failed);
    }

    fn metric_register(&self, kind: MetricKind, name: &str, help: &str, labels: Option<Value>) -> u64 {
        let labels = labels.map(|labels| self.scrubbed(labels));
        self.telemetry.metric_register(kind, name, help, labels)
    }

    fn metric_record(&self, metric: u64, value: f64) {
        self.telemetry.metric_record(metric, value);
    }

    fn allocated(&self, bytes: i64) {
        self.telemetry.allocated(bytes);
    }

    fn crashed(&self, cause: Crash) {
        self.telemetry.crashed(cause);
    }
}

fn scrub(value: &mut Value, secrets: &Secrets) {
    match value {
        Value::String(text) => secrets.scrub_mut(text),
        Value::Array(list) => list.iter_mut().for_each(|value| scrub(value, secrets)),
        Value::Object(table) => table.values_mut().for_each(|value| scrub(value, secrets)),
        _ => {}
    }
}
