//! Start and stop of telemetry: what the standard `OTEL_*` variables and the configuration say.

use super::levels;
use super::logs::{self, LogFormat};
use super::metrics::Metrics;
use super::pipeline::{Counts, Limits, Pipeline, Processor};
use super::ring::Ring;
use super::sampling::Sampler;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector};
use opentelemetry_sdk::trace::{BatchConfigBuilder, SdkTracerProvider, SpanExporter as _};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `[telemetry]` of the configuration. The standard variables `OTEL_*` go before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are, as in `RUST_LOG`: `info`, `info,chassis=debug`. `CHASSIS_LOG` and `RUST_LOG` go before it.
    pub log: String,
    /// Where spans are sent (OTLP over gRPC): `http://127.0.0.1:4317`. `OTEL_EXPORTER_OTLP_ENDPOINT` goes before it; without both
    /// nothing is sent.
    pub otlp_endpoint: Option<String>,
    /// At most so many spans are sent in a second; those beyond are dropped, and counted. To send a span costs more than to make the
    /// call it tells of: without a limit, a busy host would spend itself on telling. 0 is no limit.
    pub otlp_spans_per_second: u32,
    /// How many finished spans are kept in memory for `/v1/traces`.
    pub memory_spans: usize,
    /// At most so many traces are listed.
    pub memory_traces: usize,
}

/// Why telemetry does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A variable or setting has a value that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The exporter cannot be made.
    #[error("the exporter of spans cannot be made")]
    Exporter(#[from] ExporterBuildError),
}

pub(super) struct Parts {
    pub sampler: Sampler,
    pub pipeline: Arc<Pipeline>,
    pub provider: SdkTracerProvider,
    pub metrics: Metrics,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_format: LogFormat::default(),
            log: "info".to_owned(),
            otlp_endpoint: None,
            otlp_spans_per_second: 20_000,
            memory_spans: 4096,
            memory_traces: 100,
        }
    }
}

/// A variable of the environment that is set and not empty (the specification treats both alike).
pub(super) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(super) fn start(config: &Config, variable: Variable<'_>) -> Result<Parts, StartError> {
    let metrics = Metrics::new();
    // A counter that is there from the start tells "none" from "not known".
    let counts = Counts {
        dropped: metrics.counter("chassis_spans_dropped_total", Vec::new()),
        exported: metrics.counter("chassis_spans_exported_total", Vec::new()),
    };
    let disabled = is_disabled(variable);
    let sampler = if disabled { Sampler::never() } else { sampler(variable)? };
    let resource = resource(variable);
    let scope = InstrumentationScope::builder("chassis").with_version(env!("CARGO_PKG_VERSION")).build();
    let mut pipeline = Pipeline::new(Ring::new(config.memory_spans, config.memory_traces));
    if !disabled && let Some(mut exporter) = exporter(config, variable)? {
        exporter.set_resource(&resource);
        let waiting = variable("OTEL_BSP_MAX_QUEUE_SIZE").and_then(|text| text.parse().ok()).unwrap_or(2048);
        let batch = BatchConfigBuilder::default().with_max_queue_size(waiting).build();
        let limits = Limits { waiting, per_second: config.otlp_spans_per_second };
        pipeline = pipeline.exporting(exporter, batch, limits, counts, scope.clone());
    }
    let pipeline = Arc::new(pipeline);
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(sampler.for_sdk())
        .with_span_processor(Processor(pipeline.clone()))
        .build();
    logs::install(config, provider.tracer_with_scope(scope)).map_err(StartError::Invalid)?;
    Ok(Parts { sampler, pipeline, provider, metrics })
}

/// What a start would refuse of the variables, without starting anything.
pub(super) fn check(config: &Config, variable: Variable<'_>) -> Result<(), StartError> {
    if !is_disabled(variable) {
        sampler(variable)?;
        is_exported(variable)?;
    }
    levels::check(config).map_err(StartError::Invalid)
}

fn is_disabled(variable: Variable<'_>) -> bool {
    variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn sampler(variable: Variable<'_>) -> Result<Sampler, StartError> {
    let (name, argument) = (variable("OTEL_TRACES_SAMPLER"), variable("OTEL_TRACES_SAMPLER_ARG"));
    Sampler::parse(name.as_deref(), argument.as_deref()).map_err(StartError::Invalid)
}

/// Who sends. What `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say goes before what is found here.
fn resource(variable: Variable<'_>) -> Resource {
    let mut attributes = vec![
        KeyValue::new("service.name", "chassis"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        KeyValue::new("host.arch", arch()),
        KeyValue::new("os.type", std::env::consts::OS),
        KeyValue::new("process.pid", i64::from(std::process::id())),
        KeyValue::new("process.executable.name", "chassis"),
        KeyValue::new("telemetry.sdk.name", "opentelemetry"),
        KeyValue::new("telemetry.sdk.language", "rust"),
        KeyValue::new("telemetry.sdk.version", "0.33"),
    ];
    if let Some(name) = host_name() {
        attributes.push(KeyValue::new("host.name", name));
    }
    let given = EnvResourceDetector::new().detect();
    attributes.extend(given.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        attributes.push(KeyValue::new("service.name", name));
    }
    Resource::builder_empty().with_attributes(attributes).build()
}

/// Whether spans are sent at all, and in the one way that is known here.
fn is_exported(variable: Variable<'_>) -> Result<bool, StartError> {
    match variable("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(false),
        Some(other) => {
            return Err(StartError::Invalid(format!(
                "OTEL_TRACES_EXPORTER is {other:?}: expected otlp or none"
            )));
        }
    }
    let protocol =
        variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
    if let Some(protocol) = protocol.filter(|protocol| protocol != "grpc") {
        return Err(StartError::Invalid(format!(
            "OTEL_EXPORTER_OTLP_PROTOCOL is {protocol:?}: only grpc is spoken here"
        )));
    }
    Ok(true)
}

fn exporter(config: &Config, variable: Variable<'_>) -> Result<Option<SpanExporter>, StartError> {
    if !is_exported(variable)? {
        return Ok(None);
    }
    let in_environment = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"))
        .is_some();
    let builder = SpanExporter::builder().with_tonic();
    Ok(match config.otlp_endpoint.as_ref().filter(|endpoint| !endpoint.is_empty()) {
        _ if in_environment => Some(builder.build()?),
        Some(endpoint) => Some(builder.with_endpoint(endpoint).build()?),
        None => None,
    })
}

/// The process's variables.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn host_name() -> Option<String> {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| environment("HOSTNAME"))?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;
    use opentelemetry::Key;
    use opentelemetry::trace::{SpanContext, SpanKind};

    fn given<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[tokio::test]
    async fn without_a_collector_traces_are_kept_in_memory() {
        let telemetry = Telemetry::start_with(&Config::default(), &given(&[])).unwrap();
        let span = telemetry.span("work", SpanKind::Internal, &SpanContext::NONE, []);
        let id = span.context().trace_id().to_string();
        span.end();
        assert_eq!(telemetry.trace(&id).unwrap().spans[0].name, "work");
        assert_eq!(telemetry.traces().len(), 1);
        assert_eq!(telemetry.trace("nonsense"), None);
    }

    #[tokio::test]
    async fn the_standard_variables_are_obeyed() {
        let recorded = |pairs: &[(&str, &str)]| {
            let telemetry = Telemetry::start_with(&Config::default(), &given(pairs)).unwrap();
            let span = telemetry.span("work", SpanKind::Internal, &SpanContext::NONE, []);
            assert!(span.context().is_valid());
            span.is_recording()
        };
        assert!(recorded(&[]));
        assert!(!recorded(&[("OTEL_SDK_DISABLED", "true")]));
        assert!(!recorded(&[
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0")
        ]));
        for (name, value) in [
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ] {
            let error = Telemetry::start_with(&Config::default(), &given(&[(name, value)])).err().unwrap();
            assert!(error.to_string().contains(&format!("{name} is {value:?}")), "{error}");
        }
    }

    #[test]
    fn a_resource_says_who_sends() {
        let value = |resource: &Resource, key: &'static str| {
            resource.get(&Key::new(key)).map(|value| value.to_string())
        };
        let plain = resource(&given(&[]));
        assert_eq!(value(&plain, "service.name").as_deref(), Some("chassis"));
        assert_eq!(value(&plain, "service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert!(value(&plain, "service.instance.id").is_some_and(|id| id.len() == 36));
        let named = resource(&given(&[("OTEL_SERVICE_NAME", "orders")]));
        assert_eq!(value(&named, "service.name").as_deref(), Some("orders"));
    }
}
