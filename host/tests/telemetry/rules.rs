//! What the semantic conventions (TELEMETRY.md in the design) ask of a span and its metric, written down a second time: nothing here
//! comes from the code under test.

use super::sample::TARGET;
use chassis_abi::manifest::{Operation, TelemetryKind};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;
use std::collections::BTreeMap;

/// Attributes of every call.
const COMMON: &[&str] =
    &["chassis.plugin", "chassis.instance", "chassis.operation", "chassis.generation", "chassis.outcome"];

/// What is expected of one call.
pub struct Expected {
    /// Name of its span.
    pub name: String,
    /// Kind of its span.
    pub kind: SpanKind,
    /// Attributes that must be there, with this value.
    pub exact: BTreeMap<&'static str, String>,
    /// Attributes that may be there besides.
    pub allowed: Vec<&'static str>,
    /// The histogram of its duration, with its labels; none for an internal one.
    pub metric: Option<(&'static str, BTreeMap<&'static str, String>)>,
}

/// Bounds of a histogram's buckets.
pub fn buckets(metric: &str) -> &'static [&'static str] {
    match metric {
        "db_client_operation_duration_seconds" => {
            &["0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "10", "+Inf"]
        }
        "messaging_client_operation_duration_seconds"
        | "messaging_process_duration_seconds"
        | "http_client_request_duration_seconds"
        | "http_server_request_duration_seconds" => &[
            "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "7.5",
            "10", "+Inf",
        ],
        other => panic!("{other} has no buckets in the conventions"),
    }
}

/// What is expected of a successful call with the samples' input and output. `target` is the target that the input names.
pub fn expected(op: &Operation, input: &Value, target: Option<&str>) -> Expected {
    let mut expected = match op.telemetry.kind {
        TelemetryKind::Database => database(op, target),
        TelemetryKind::Messaging => messaging(op, input, target),
        TelemetryKind::Http => http(op, input, target),
        TelemetryKind::Internal => Expected {
            name: String::new(),
            kind: SpanKind::Internal,
            exact: BTreeMap::new(),
            allowed: Vec::new(),
            metric: None,
        },
    };
    expected.allowed.extend(COMMON);
    expected
}

/// Adds where the samples' server is: its port is no default.
fn server(
    op: &Operation,
    exact: &mut BTreeMap<&'static str, String>,
    labels: &mut BTreeMap<&'static str, String>,
) {
    if op.telemetry.server.is_some() {
        exact.insert("server.address", "server.example".into());
        exact.insert("server.port", "1234".into());
        labels.insert("server_address", "server.example".into());
        labels.insert("server_port", "1234".into());
    }
}

fn database(op: &Operation, target: Option<&str>) -> Expected {
    let told = &op.telemetry;
    let (mut exact, mut labels) = (BTreeMap::new(), BTreeMap::new());
    let system = told.system.clone().expect("a database has db.system.name");
    labels.insert("db_system_name", system.clone());
    labels.insert("db_operation_name", told.operation.clone());
    exact.insert("db.system.name", system.clone());
    exact.insert("db.operation.name", told.operation.clone());
    server(op, &mut exact, &mut labels);
    let name = if told.query_text.is_some() {
        exact.insert("db.query.summary", format!("SELECT {TARGET}"));
        exact.insert("db.query.text", format!("SELECT * FROM {TARGET} WHERE id = $1 AND pw = ?"));
        format!("SELECT {TARGET}")
    } else if let Some(target) = target {
        exact.insert("db.collection.name", target.into());
        format!("{} {target}", told.operation)
    } else {
        told.operation.clone()
    };
    let mut allowed = Vec::new();
    if !told.namespace.is_empty() {
        let namespace = vec!["space"; told.namespace.len()].join("|");
        exact.insert("db.namespace", namespace.clone());
        labels.insert("db_namespace", namespace);
    }
    if system == "redis" && !op.name.ends_with("_many") {
        // The command with its key; values are never told.
        let text = exact.get("db.operation.name").map(|command| format!("{command} text"));
        let values = matches!(op.name.as_str(), "set" | "set_raw" | "expire" | "increment");
        exact.insert("db.query.text", text.unwrap_or_default() + if values { " ?" } else { "" });
    }
    if system == "elasticsearch" {
        for required in ["http.request.method", "url.full"] {
            assert!(told.attributes.contains_key(required), "{}: {required} is required", op.name);
            allowed.push(required);
        }
    }
    let metric = Some(("db_client_operation_duration_seconds", labels));
    Expected { name, kind: SpanKind::Client, exact, allowed, metric }
}

fn messaging(op: &Operation, input: &Value, target: Option<&str>) -> Expected {
    let told = &op.telemetry;
    let (mut exact, mut labels) = (BTreeMap::new(), BTreeMap::new());
    let system = told.system.clone().expect("a broker has messaging.system");
    labels.insert("messaging_system", system.clone());
    labels.insert("messaging_operation_name", told.operation.clone());
    exact.insert("messaging.system", system.clone());
    exact.insert("messaging.operation.name", told.operation.clone());
    server(op, &mut exact, &mut labels);
    if let Some(kind) = &told.operation_type {
        exact.insert("messaging.operation.type", kind.clone());
        labels.insert("messaging_operation_type", kind.clone());
    }
    // The samples go by the default exchange, and what is received came by another one.
    let destination = match (target, op.name.as_str()) {
        (Some(queue), "receive") => Some(format!("events:thing.made:{queue}")),
        (Some(queue), _) => Some(queue.to_owned()),
        (None, _) => None,
    };
    let mut name = told.operation.clone();
    if let Some(destination) = destination {
        name = format!("{name} {destination}");
        exact.insert("messaging.destination.name", destination);
    }
    if let Some(items) = input.get("items").and_then(Value::as_array) {
        exact.insert("messaging.batch.message_count", items.len().to_string());
    }
    if matches!(op.name.as_str(), "publish" | "receive") {
        exact.insert("messaging.message.id", "m-1".into());
    }
    let mut allowed = Vec::new();
    if system == "rabbitmq" {
        match op.name.as_str() {
            "publish" => drop(exact.insert("messaging.rabbitmq.destination.routing_key", TARGET.into())),
            "receive" => {
                drop(exact.insert("messaging.rabbitmq.destination.routing_key", "thing.made".into()))
            }
            _ => allowed.push("messaging.rabbitmq.destination.routing_key"),
        }
    }
    let kind = match told.operation_type.as_deref() {
        Some("send") => SpanKind::Producer,
        Some("process") => SpanKind::Consumer,
        _ => SpanKind::Client,
    };
    let metric = Some(("messaging_client_operation_duration_seconds", labels));
    Expected { name, kind, exact, allowed, metric }
}

fn http(op: &Operation, input: &Value, target: Option<&str>) -> Expected {
    let (mut exact, mut labels) = (BTreeMap::new(), BTreeMap::new());
    let method = input.get("method").and_then(Value::as_str).unwrap_or("GET").to_owned();
    labels.insert("http_request_method", method.clone());
    labels.insert("http_response_status_code", "200".into());
    server(op, &mut exact, &mut labels);
    exact.insert("http.request.method", method.clone());
    exact.insert("http.response.status_code", "200".into());
    exact.insert(
        "url.full",
        "http://REDACTED:REDACTED@server.example:1234/base/things/7?api_key=REDACTED".into(),
    );
    let template = target.expect("an HTTP operation says where its template is");
    exact.insert("url.template", template.into());
    let metric = Some(("http_client_request_duration_seconds", labels));
    Expected {
        name: format!("{method} {template}"),
        kind: SpanKind::Client,
        exact,
        allowed: Vec::new(),
        metric,
    }
}
