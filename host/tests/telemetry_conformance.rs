//! Every operation of every plugin reports itself as the semantic conventions want it: spans as a collector receives them over OTLP,
//! metrics as Prometheus reads them. Operations come from the manifests, so a new plugin is covered by being there.

// Helpers of tests are not seen as tests, and fail by panicking as those do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod telemetry {
    pub mod made;
    pub mod prometheus;
    pub mod receiver;
    pub mod rules;
    pub mod sample;
}

use chassis::error::CallFailure;
use chassis::telemetry::{Config, OperationTelemetry, Telemetry};
use chassis_abi::Code;
use chassis_abi::manifest::TelemetryKind;
use opentelemetry::trace::{SpanContext, SpanKind as Kind, TraceContextExt, TraceFlags};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use telemetry::made::{Made, call, fail, instance, operations, succeed};
use telemetry::prometheus::{includes, series, value_of};
use telemetry::receiver::{Received, attributes};
use telemetry::rules::{self, buckets};
use telemetry::sample::{self, CANARY};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_of_every_plugin_follows_the_conventions() {
    let (received, telemetry) = start().await;
    let made: Vec<Made> = operations().map(|(manifest, op)| succeed(&telemetry, manifest, op)).collect();
    assert!(!made.is_empty(), "no plugin has a manifest");
    telemetry.flush().await;
    let spans = received.spans();
    let metrics = telemetry.prometheus();
    for made in &made {
        check_span(made, span_of(&spans, made));
        check_metrics(made, &metrics);
    }
    check_names(&made, &spans);
    assert!(!received.text().contains(CANARY), "a password or a value of a statement is in a span");
    assert!(!metrics.contains(CANARY), "a password is in a metric");
    for (name, value) in [("service.name", "chassis"), ("service.version", env!("CARGO_PKG_VERSION"))] {
        assert_eq!(received.resource().get(name).map(String::as_str), Some(value));
    }
    for name in ["service.instance.id", "host.name", "telemetry.sdk.language"] {
        assert!(received.resource().contains_key(name), "the resource has no {name}");
    }
    eprintln!("{} operations checked", made.len());
    telemetry.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_is_told_by_span_and_metric() {
    let (received, telemetry) = start().await;
    let mut made = Vec::new();
    for (manifest, op) in operations() {
        let status = if op.telemetry.kind == TelemetryKind::Http { "503" } else { "57P01" };
        let mut failure = CallFailure::new(Code::Unavailable, "the server is gone");
        failure.error.status = Some(status.to_owned());
        made.push((fail(&telemetry, manifest, op, &failure), status));
    }
    telemetry.flush().await;
    let spans = received.spans();
    let metrics = telemetry.prometheus();
    for (made, status) in &made {
        let (title, span) = (made.title(), span_of(&spans, made));
        let found = attributes(&span.attributes);
        assert_eq!(span.status.as_ref().map(|status| status.code()), Some(StatusCode::Error), "{title}");
        assert_eq!(found.get("error.type").map(String::as_str), Some(*status), "{title}");
        assert_eq!(found.get("chassis.outcome").map(String::as_str), Some("error"), "{title}");
        let (attribute, metric, label, value) = match made.op.telemetry.kind {
            TelemetryKind::Database => (
                Some("db.response.status_code"),
                "db_client_operation_duration_seconds",
                "error_type",
                "unavailable",
            ),
            TelemetryKind::Http => (
                Some("http.response.status_code"),
                "http_client_request_duration_seconds",
                "error_type",
                "503",
            ),
            TelemetryKind::Messaging => {
                (None, "messaging_client_operation_duration_seconds", "error_type", "unavailable")
            }
            TelemetryKind::Internal => (None, "chassis_calls_total", "outcome", "error"),
        };
        if let Some(attribute) = attribute {
            assert_eq!(found.get(attribute).map(String::as_str), Some(*status), "{title}");
        }
        let present = series(&metrics, metric)
            .any(|(_, labels, _)| labels.get(label).is_some_and(|found| found == value));
        assert!(present, "{title}: no {metric} with {label}={value}");
        let labels = calls_labels(made, "error", "unavailable");
        assert_eq!(value_of(&metrics, "chassis_calls_total", &labels), Some(1.0), "{title}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_cancellations_are_not_the_servers_failures() {
    let (received, telemetry) = start().await;
    let mut made = Vec::new();
    for (manifest, op) in operations() {
        let refusal = CallFailure::refused(
            "bulkhead",
            Code::ResourceExhausted,
            "25 calls are in flight",
            Duration::from_millis(100),
        );
        let refused = fail(&telemetry, manifest.clone(), op.clone(), &refusal);
        let cancelled = call(&telemetry, manifest, op, |span, _| drop(span));
        made.push((refused, cancelled));
    }
    telemetry.flush().await;
    let spans = received.spans();
    let metrics = telemetry.prometheus();
    for (refused, cancelled) in &made {
        let title = refused.title();
        let found = attributes(&span_of(&spans, refused).attributes);
        assert_eq!(found.get("chassis.outcome").map(String::as_str), Some("refused"), "{title}");
        assert_eq!(found.get("error.type").map(String::as_str), Some("resource_exhausted"), "{title}");
        let span = span_of(&spans, cancelled);
        let found = attributes(&span.attributes);
        assert_eq!(found.get("chassis.outcome").map(String::as_str), Some("cancelled"), "{title}");
        assert!(!found.contains_key("error.type"), "{title}: cancelling is no error");
        assert_ne!(span.status.as_ref().map(|status| status.code()), Some(StatusCode::Error), "{title}");
        for (outcome, code) in [("refused", "resource_exhausted"), ("cancelled", "cancelled")] {
            let labels = calls_labels(refused, outcome, code);
            assert_eq!(value_of(&metrics, "chassis_calls_total", &labels), Some(1.0), "{title}");
        }
        let labels = BTreeMap::from([
            ("plugin", refused.manifest.name.clone()),
            ("name", refused.instance.clone()),
            ("operation", refused.op.name.clone()),
        ]);
        let counted = value_of(&metrics, "chassis_call_duration_seconds_count", &labels);
        assert_eq!(counted.unwrap_or(0.0), 0.0, "{title}: what was not sent has no duration");
    }
    let client =
        series(&metrics, "").filter(|(name, ..)| name.contains("_client_") && name.ends_with("_count"));
    for (name, labels, value) in client {
        assert_eq!(value, 0.0, "{name}{labels:?} counts calls that were never sent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_is_not_sampled_leaves_ids_and_metrics_but_no_span() {
    let (received, telemetry) = start().await;
    let context = |flags| {
        let (trace, span) = (0x7_u128.into(), 0x9_u64.into());
        SpanContext::new(trace, span, flags, true, Default::default())
    };
    let mut all = Vec::new();
    for (manifest, op) in operations() {
        let of = OperationTelemetry::new(
            &telemetry,
            &manifest,
            &op,
            &instance(&manifest, &op),
            &sample::config(&op),
        );
        let input = sample::input(&manifest, &op).to_string();
        let parent = context(TraceFlags::default());
        let span = of.start(&parent, input.as_bytes(), Instant::now());
        let traceparent = span.traceparent();
        assert!(traceparent.starts_with("00-00000000000000000000000000000007-"), "{traceparent}");
        assert!(traceparent.ends_with("-00"), "{traceparent}");
        assert_ne!(span.context().span_id(), parent.span_id());
        span.finish_with(Ok(sample::output(&op).to_string().as_bytes()));
        let made =
            Made { instance: instance(&manifest, &op), manifest, op, input: Value::Null, root: parent };
        all.push(made);
    }
    let metrics = telemetry.prometheus();
    for made in &all {
        let labels = calls_labels(made, "ok", "ok");
        assert_eq!(value_of(&metrics, "chassis_calls_total", &labels), Some(1.0), "{}", made.title());
    }
    assert!(!all.is_empty());
    telemetry.flush().await;
    assert_eq!(received.spans(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processed_message_links_to_the_span_that_sent_it() {
    let (received, telemetry) = start().await;
    let root = telemetry.span("flow process-welcome", Kind::Internal, &SpanContext::NONE, []);
    let message = serde_json::json!({
        "body": {}, "message_id": "m-1", "headers": {"traceparent": sample::CREATION}, "exchange": "",
        "routing_key": "welcome_messages", "redelivered": false, "receipt": "r",
    });
    let process = telemetry.process_span("rabbitmq", "welcome_messages", &message, root.context());
    process.finish(Ok(()));
    root.end();
    telemetry.flush().await;
    let spans = received.spans();
    let span = spans.iter().find(|span| span.name == "process welcome_messages").unwrap();
    assert_eq!(span.kind(), SpanKind::Consumer);
    assert_eq!(link_of(span), sample::CREATION);
    let found = attributes(&span.attributes);
    for (name, value) in [
        ("messaging.system", "rabbitmq"),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", "welcome_messages"),
        ("messaging.message.id", "m-1"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value));
    }
    let labels = BTreeMap::from([("messaging_system", "rabbitmq".to_owned())]);
    check_buckets("process", &telemetry.prometheus(), "messaging_process_duration_seconds", &labels);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_below_a_tracing_span_is_in_its_trace() {
    let (received, telemetry) = start().await;
    let root = telemetry.span("flow", Kind::Internal, &SpanContext::NONE, []);
    let seen = root
        .scope(async {
            opentelemetry::Context::map_current(|context| context.span().span_context().trace_id())
        })
        .await;
    assert_eq!(seen, root.context().trace_id());
    drop(root);
    telemetry.flush().await;
    assert_eq!(received.spans().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_call_is_one_span_and_over_http_each_try_is_one() {
    let (received, telemetry) = start().await;
    let failure = CallFailure::new(Code::Unavailable, "gone");
    let retried = |(manifest, op)| {
        let output = sample::output(&op).to_string();
        call(&telemetry, manifest, op, |mut span, input| {
            (2..=3).for_each(|n| span.resend(n, &failure, Instant::now(), input.to_string().as_bytes()));
            span.finish_with(Ok(output.as_bytes()));
        })
    };
    let made: Vec<Made> = operations().map(retried).collect();
    telemetry.flush().await;
    let (spans, metrics) = (received.spans(), telemetry.prometheus());
    for made in &made {
        let http = made.op.telemetry.kind == TelemetryKind::Http;
        let (trace, root) = (made.root.trace_id().to_bytes(), made.root.span_id().to_bytes());
        let tries = spans.iter().filter(|span| span.trace_id == trace && span.parent_span_id == root);
        let told = |span: &Span| {
            let found = attributes(&span.attributes);
            let of = |name: &str| found.get(name).cloned().unwrap_or_default();
            [of("http.request.resend_count"), of("chassis.outcome"), of("error.type"), of("chassis.attempt")]
        };
        let found: BTreeSet<[String; 4]> = tries.map(told).collect();
        let wanted: &[[&str; 4]] = match http {
            true => {
                &[["", "error", "unavailable", ""], ["1", "error", "unavailable", "2"], ["2", "ok", "", "3"]]
            }
            false => &[["", "ok", "", "3"]],
        };
        let wanted: BTreeSet<_> = wanted.iter().map(|one| one.map(str::to_owned)).collect();
        assert_eq!(found, wanted, "{}", made.title());
        let calls = value_of(&metrics, "chassis_calls_total", &calls_labels(made, "ok", "ok"));
        assert_eq!(calls, Some(1.0), "{}: however often it was tried", made.title());
    }
}

async fn start() -> (Received, Telemetry) {
    let (received, endpoint) = Received::start().await;
    let config = Config { otlp_endpoint: Some(endpoint), ..Config::default() };
    (received, Telemetry::start(&config).unwrap())
}

fn span_of<'a>(spans: &'a [Span], made: &Made) -> &'a Span {
    let trace = made.root.trace_id().to_bytes();
    let of_trace: Vec<&Span> =
        spans.iter().filter(|span| span.trace_id == trace && span.name != "root").collect();
    assert_eq!(of_trace.len(), 1, "{}: a call has one span", made.title());
    of_trace[0]
}

fn check_span(made: &Made, span: &Span) {
    let title = made.title();
    let mut expected = rules::expected(&made.op, &made.input, made.target());
    if made.op.telemetry.kind == TelemetryKind::Internal {
        expected.name = format!("{} {}", made.manifest.name, made.op.name);
    }
    assert_eq!(span.name, expected.name, "{title}");
    assert_eq!(span.kind(), expected.kind, "{title}");
    assert_eq!(span.parent_span_id, made.root.span_id().to_bytes(), "{title}: the parent");
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{title}");
    let found = attributes(&span.attributes);
    for (name, value) in &expected.exact {
        assert_eq!(found.get(*name), Some(value), "{title}: {name}");
    }
    let own = [
        ("chassis.plugin", made.manifest.name.as_str()),
        ("chassis.instance", &made.instance),
        ("chassis.operation", &made.op.name),
        ("chassis.generation", "3"),
        ("chassis.outcome", "ok"),
    ];
    for (name, value) in own {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{title}: {name}");
    }
    let known: BTreeSet<&str> =
        expected.exact.keys().copied().chain(expected.allowed.iter().copied()).collect();
    let unknown: Vec<&String> = found.keys().filter(|name| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "{title}: unknown attributes {unknown:?}");
    if made.op.name == "receive" {
        assert_eq!(link_of(span), sample::CREATION, "{title}: the link to the span that sent the message");
    } else {
        assert_eq!(span.links, [], "{title}");
    }
    if let Some(url) = found.get("url.full") {
        assert!(url.starts_with("http://REDACTED:REDACTED@server.example:1234/base/"), "{title}: {url}");
    }
}

/// The names of the shipped backends' spans, word for word.
fn check_names(made: &[Made], spans: &[Span]) {
    for line in include_str!("telemetry/names.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let [plugin, operation, kind] = [(); 3].map(|()| words.next().unwrap());
        let name = words.collect::<Vec<_>>().join(" ");
        let title = format!("{plugin} {operation}");
        let made =
            made.iter().find(|made| made.title() == title).unwrap_or_else(|| panic!("{title} is not there"));
        let span = span_of(spans, made);
        assert_eq!(span.name, name, "{title}");
        assert_eq!(span.kind().as_str_name(), format!("SPAN_KIND_{kind}"), "{title}");
    }
}

fn link_of(span: &Span) -> String {
    assert_eq!(span.links.len(), 1);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("00-{}-{}-01", hex(&span.links[0].trace_id), hex(&span.links[0].span_id))
}

fn check_metrics(made: &Made, metrics: &str) {
    let title = made.title();
    let labels = calls_labels(made, "ok", "ok");
    assert_eq!(value_of(metrics, "chassis_calls_total", &labels), Some(1.0), "{title}");
    let labels = BTreeMap::from([("name", made.instance.clone()), ("operation", made.op.name.clone())]);
    assert_eq!(value_of(metrics, "chassis_call_duration_seconds_count", &labels), Some(1.0), "{title}");
    if let Some((metric, mut labels)) = rules::expected(&made.op, &made.input, made.target()).metric {
        labels.insert("name", made.instance.clone());
        check_buckets(&title, metrics, metric, &labels);
    }
    let counter = match made.op.telemetry.operation_type.as_deref() {
        Some("send") => "messaging_client_sent_messages_total",
        // A stream counts its messages one by one.
        Some("receive") if made.op.item.is_none() => "messaging_client_consumed_messages_total",
        _ => return,
    };
    let labels = BTreeMap::from([
        ("name", made.instance.clone()),
        ("messaging_operation_name", made.op.telemetry.operation.clone()),
    ]);
    assert!(value_of(metrics, counter, &labels).is_some_and(|value| value >= 1.0), "{title}: {counter}");
}

fn check_buckets(title: &str, metrics: &str, metric: &str, labels: &BTreeMap<&str, String>) {
    let bucket = format!("{metric}_bucket");
    let bounds: Vec<String> = series(metrics, &bucket)
        .filter(|(name, found, _)| {
            *name == bucket && includes(found, labels) && !found.contains_key("error_type")
        })
        .filter_map(|(_, mut found, _)| found.remove("le"))
        .collect();
    let mut distinct: Vec<&str> = Vec::new();
    for bound in &bounds {
        if !distinct.contains(&bound.as_str()) {
            distinct.push(bound);
        }
    }
    assert_eq!(distinct, buckets(metric), "{title}: buckets of {metric} with {labels:?}");
    let counted = value_of(metrics, &format!("{metric}_count"), labels);
    assert!(
        counted.is_some_and(|count| count >= 1.0),
        "{title}: {metric} with {labels:?} counted {counted:?}"
    );
}

fn calls_labels(made: &Made, outcome: &str, code: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("plugin", made.manifest.name.clone()),
        ("name", made.instance.clone()),
        ("operation", made.op.name.clone()),
        ("outcome", outcome.to_owned()),
        ("code", code.to_owned()),
    ])
}
