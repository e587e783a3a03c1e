//! Real calls through flows, registry and boundary, on the embedded plugin: the trace is connected from the run to the message that it
//! sent, and from there to who processed it.

// Helpers of tests are not seen as tests, and fail by panicking as those do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod telemetry {
    pub mod prometheus;
    pub mod receiver;
}

use chassis::app::App;
use chassis::config::{Config, Source};
use chassis::request::{Context, Request};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use telemetry::prometheus::value_of;
use telemetry::receiver::{Received, attributes};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_one_trace_and_a_processed_message_links_to_it() {
    let dir = TempDir::new().unwrap();
    let Some(plugins) = plugins(dir.path()) else { return };
    let (received, endpoint) = Received::start().await;
    let app = App::start(config(dir.path(), &plugins, endpoint)).await.unwrap();
    flow(&app, "setup", json!({})).await;
    let user = json!({"email": "ada@example.org", "username": "ada", "full_name": "Ada Lovelace"});
    let created = flow(&app, "create-user", user).await;
    let welcomed = flow(&app, "process-welcome", json!({})).await;
    call(&app, "users", "query", json!({"sql": "SELECT email FROM users WHERE username = 'hunter2'"})).await;
    take_one(&app, "users", "query_stream", json!({"sql": "SELECT id FROM users"})).await;
    call(&app, "messages", "publish", json!({"queue": "welcome_messages", "body": "again"})).await;
    take_one(&app, "messages", "consume", json!({"queue": "welcome_messages"})).await;
    let telemetry = app.telemetry.clone();
    telemetry.flush().await;
    let spans = received.spans();

    assert_eq!(received.resource()["service.name"], "chassis");
    let trace = of_trace(&spans, &created);
    connected(&trace, "flow create-user");
    for (name, kind) in [
        ("flow create-user", SpanKind::Internal),
        ("step user", SpanKind::Internal),
        ("INSERT users", SpanKind::Client),
        ("insert user_preferences", SpanKind::Client),
        ("publish welcome_messages", SpanKind::Producer),
    ] {
        assert_eq!(named(&trace, name).kind(), kind, "{name}");
    }
    let publish = named(&trace, "publish welcome_messages");
    assert_eq!(parent(&trace, publish).name, "step welcome");

    let trace = of_trace(&spans, &welcomed);
    connected(&trace, "flow process-welcome");
    let process = trace.iter().find(|span| span.kind() == SpanKind::Consumer).unwrap();
    assert_eq!(process.name, "process welcome_messages");
    let receive = trace.iter().find(|span| span.name.starts_with("receive")).unwrap();
    for span in [process, receive] {
        assert_eq!(span.links.len(), 1, "{}", span.name);
        assert_eq!(
            (&span.links[0].trace_id, &span.links[0].span_id),
            (&publish.trace_id, &publish.span_id),
            "{}",
            span.name
        );
    }

    assert!(spans.iter().filter(|span| span.name == "SELECT users").count() >= 2, "the query and the stream");
    assert!(
        spans.iter().any(|span| span.name == "consume welcome_messages"),
        "a subscription is over when it is made"
    );
    assert!(!received.text().contains("hunter2"), "a value of a statement is in a span");

    let memory = telemetry.trace(&created).unwrap();
    assert_eq!(memory.spans.len(), of_trace(&spans, &created).len(), "the memory has what the collector has");
    let style = chassis::telemetry::waterfall::Style { width: 100, colours: false };
    let drawn = chassis::telemetry::waterfall::draw(&memory, style);
    assert_eq!(drawn.lines().count(), memory.spans.len(), "{drawn}");
    println!("{drawn}");

    let metrics = telemetry.prometheus();
    let labels = |pairs: &[(&'static str, &str)]| -> BTreeMap<&'static str, String> {
        pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    let of_messages =
        |operation: &str| labels(&[("name", "messages"), ("messaging_operation_name", operation)]);
    for (metric, of) in [
        (
            "chassis_calls_total",
            labels(&[("name", "users"), ("operation", "query_stream"), ("outcome", "ok")]),
        ),
        ("messaging_client_consumed_messages_total", of_messages("receive")),
        ("messaging_client_consumed_messages_total", of_messages("consume")),
        ("messaging_process_duration_seconds_count", labels(&[])),
        ("chassis_flow_duration_seconds_count", labels(&[("flow", "create-user")])),
        ("chassis_plugin_info", labels(&[("plugin", "embedded"), ("isolation", "none")])),
    ] {
        assert_eq!(value_of(&metrics, metric, &of), Some(1.0), "{metric} {of:?}");
    }
    assert_eq!(
        value_of(&metrics, "messaging_client_sent_messages_total", &of_messages("publish")),
        Some(2.0)
    );
    assert_eq!(value_of(&metrics, "chassis_bulkhead_in_flight", &labels(&[("name", "users")])), Some(0.0));
    for metric in ["chassis_spans_dropped_total", "process_resident_memory_bytes", "chassis_runtime_workers"]
    {
        assert!(value_of(&metrics, metric, &labels(&[])).is_some(), "{metric}");
    }
    app.stop().await;
}

/// Runs a flow and answers its trace's id.
async fn flow(app: &App, name: &str, input: Value) -> String {
    let outcome = app.engine.run(name, input, Context::default()).await.unwrap();
    assert!(outcome.completed(), "{name}: {:?}", outcome.error);
    outcome.trace_id.unwrap()
}

async fn call(app: &App, instance: &str, operation: &str, input: Value) {
    app.registry.operation(instance, operation).unwrap().call(Request::of(&input)).await.unwrap();
}

/// Takes the first item of a stream and has enough.
async fn take_one(app: &App, instance: &str, operation: &str, input: Value) {
    let call = app.registry.operation(instance, operation).unwrap().call(Request::of(&input));
    let mut stream = call.await.unwrap().stream.unwrap();
    stream.grant(1);
    stream.next().await.unwrap().unwrap();
}

fn config(dir: &Path, plugins: &Path, endpoint: String) -> Config {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let given = BTreeMap::from([
        ("CHASSIS_DATA".to_owned(), dir.join("data").display().to_string()),
        ("CHASSIS_PLUGINS_DIR".to_owned(), plugins.display().to_string()),
    ]);
    let mut config = Config::load_with(&Source::File(root.join("config/embedded.toml")), &given).unwrap();
    config.plugins_dir = plugins.to_owned();
    config.flows_dir = root.join("flows");
    for server in config.statics.values_mut() {
        server.dir = root.join("api_responses");
    }
    config.telemetry.otlp_endpoint = Some(endpoint);
    config
}

/// A folder with the two plugins, from `CHASSIS_PLUGINS_DIR` or from where this test was built.
fn plugins(dir: &Path) -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let named = std::env::var_os("CHASSIS_PLUGINS_DIR").map(PathBuf::from);
    let folders: Vec<PathBuf> =
        named.into_iter().chain(test.ancestors().nth(2).map(Path::to_owned)).collect();
    let into = dir.join("plugins");
    std::fs::create_dir(&into).unwrap();
    for plugin in ["embedded", "http_api"] {
        let file =
            format!("{}chassis_{plugin}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        let Some(found) = folders.iter().map(|folder| folder.join(&file)).find(|path| path.is_file()) else {
            println!("skipped: {file} is not built (cargo xtask build)");
            return None;
        };
        std::fs::copy(found, into.join(&file)).unwrap();
    }
    Some(into)
}

fn of_trace(spans: &[Span], id: &str) -> Vec<Span> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    spans.iter().filter(|span| hex(&span.trace_id) == id).cloned().collect()
}

fn named<'a>(trace: &'a [Span], name: &str) -> &'a Span {
    let names: Vec<&str> = trace.iter().map(|span| span.name.as_str()).collect();
    trace.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name} in {names:?}"))
}

fn parent<'a>(trace: &'a [Span], span: &Span) -> &'a Span {
    trace.iter().find(|other| other.span_id == span.parent_span_id).unwrap()
}

/// Every span but the root has its parent in the trace, and calls have their attributes.
fn connected(trace: &[Span], root: &str) {
    for span in trace {
        if span.name == root {
            assert!(span.parent_span_id.is_empty(), "{root} is the root");
            continue;
        }
        assert!(
            trace.iter().any(|other| other.span_id == span.parent_span_id),
            "{} hangs in the air",
            span.name
        );
        if span.kind() == SpanKind::Client {
            assert!(attributes(&span.attributes).contains_key("chassis.generation"), "{}", span.name);
        }
    }
}
