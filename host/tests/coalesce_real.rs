//! Gathering on real backends: 32 writers at once arrive in batches, everyone gets its own result, and one bad item fails alone.

// Helpers of tests are not seen as tests, and fail by panicking as those do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod telemetry {
    pub mod prometheus;
    pub mod receiver;
}

use chassis::app::App;
use chassis::config::{Config, Source};
use chassis::error::CallFailure;
use chassis::request::{Context, Request};
use chassis_abi::Code;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use telemetry::prometheus::value_of;
use telemetry::receiver::{Received, attributes};
use tempfile::TempDir;

const WRITERS: usize = 32;
const EACH: usize = 30;

/// A backend that is written to by one operation at a time.
struct Backend {
    plugin: &'static str,
    /// The variable with its address, if it has a server.
    url: Option<&'static str>,
    contract: &'static str,
    operation: &'static str,
    many: &'static str,
    prepare: fn(&str) -> Vec<(&'static str, Value)>,
    write: fn(&str, u64) -> Value,
    /// What its answer to a write must say.
    wrote: fn(&Value, u64) -> bool,
    count: fn(&str) -> (&'static str, Value),
    counted: fn(&Value) -> Option<u64>,
}

fn relational(plugin: &'static str, url: Option<&'static str>) -> Backend {
    Backend {
        plugin,
        url,
        contract: "relational",
        operation: "insert",
        many: "insert_many",
        prepare: |name| {
            let sql = format!("CREATE TABLE {name} (id bigint PRIMARY KEY, name text)");
            vec![("execute", json!({ "sql": sql }))]
        },
        write: |name, n| json!({ "table": name, "values": { "id": n, "name": format!("n{n}") } }),
        wrote: |output, n| output["row"] == json!({ "id": n, "name": format!("n{n}") }),
        count: |name| ("query", json!({ "sql": format!("SELECT count(*) AS n FROM {name}") })),
        counted: |output| output["rows"][0]["n"].as_u64(),
    }
}

fn mongodb() -> Backend {
    Backend {
        plugin: "mongodb",
        url: Some("CHASSIS_MONGODB_URL"),
        contract: "documents",
        operation: "insert",
        many: "insert_many",
        prepare: |_| Vec::new(),
        write: |name, n| json!({ "collection": name, "document": { "_id": n, "name": format!("n{n}") } }),
        wrote: |output, n| output["id"] == json!(n),
        count: |name| ("count", json!({ "collection": name })),
        counted: |output| output["count"].as_u64(),
    }
}

fn elasticsearch() -> Backend {
    Backend {
        plugin: "elasticsearch",
        url: Some("CHASSIS_ELASTICSEARCH_URL"),
        contract: "search",
        operation: "index",
        many: "index_many",
        prepare: |name| vec![("create_index", json!({ "index": name }))],
        write: |name, n| {
            let document = json!({ "name": format!("n{n}") });
            json!({ "index": name, "id": n.to_string(), "document": document, "if_absent": true })
        },
        wrote: |output, n| output == &json!({ "id": n.to_string(), "created": true }),
        count: |name| ("count", json!({ "index": name })),
        counted: |output| output["count"].as_u64(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_embedded() {
    gathers("on_embedded", relational("embedded", None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    gathers("on_postgres", relational("postgres", Some("CHASSIS_POSTGRES_URL"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mongodb() {
    gathers("on_mongodb", mongodb()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_elasticsearch() {
    gathers("on_elasticsearch", elasticsearch()).await;
}

async fn gathers(test: &str, backend: Backend) {
    let dir = TempDir::new().unwrap();
    let Some(plugins) = plugins(test, dir.path(), backend.plugin) else { return };
    if let Some(variable) = backend.url.filter(|variable| std::env::var_os(variable).is_none()) {
        println!("skipped: {test}: {variable} is not set");
        return;
    }
    let (received, endpoint) = Received::start().await;
    let app = Arc::new(App::start(config(dir.path(), plugins, endpoint, &backend)).await.unwrap());
    let name = format!("chassis_coalesce_{}", std::process::id());
    for (operation, input) in (backend.prepare)(&name) {
        app.registry.call("gathered", operation, Request::of(&input)).await.unwrap();
    }
    let backend = Arc::new(backend);
    let total = (WRITERS * EACH) as u64;
    let with = write(&app, "gathered", &backend, &name, 0).await;
    let metrics = app.telemetry.prometheus();
    let calls = |instance: &str, operation: &str| {
        let labels = [("name", instance), ("operation", operation), ("outcome", "ok")];
        let labels: BTreeMap<_, _> =
            labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        value_of(&metrics, "chassis_calls_total", &labels).unwrap_or_default()
    };
    let batches = calls("gathered", backend.many);
    assert_eq!(calls("gathered", backend.operation), total as f64);
    assert!(batches >= 1.0 && batches < total as f64 / 2.0, "{batches} batches of {total} calls");

    let operation = backend.operation;
    // Of those that come together, each that is there already fails by itself, with all that is known of it.
    let mut tasks = Vec::new();
    for n in 0..WRITERS as u64 {
        let (app, mut input) = (app.clone(), (backend.write)(&name, if n % 8 == 0 { n } else { total + n }));
        // Not what is there: a search engine that has this very document was only asked again.
        if let Some(document) = input.get_mut("document") {
            document["name"] = "another".into();
        }
        tasks.push(tokio::spawn(async move { call(&app, "gathered", operation, input).await }));
    }
    for (n, task) in tasks.into_iter().enumerate() {
        match task.await.unwrap() {
            Ok(_) => assert!(n % 8 != 0, "{n} was there"),
            Err(failure) => {
                assert!(n % 8 == 0, "{n}: {failure}");
                assert_eq!(failure.code(), Code::AlreadyExists, "{failure}");
            }
        }
    }
    // One that cannot be read does not spoil the others.
    let mut bad = (backend.write)(&name, 0);
    bad["no_such_field"] = json!(1);
    let mut tasks = Vec::new();
    for n in 0..WRITERS as u64 {
        let input = if n == 20 { bad.clone() } else { (backend.write)(&name, 2 * total + n) };
        let app = app.clone();
        tasks.push(tokio::spawn(async move { call(&app, "gathered", operation, input).await }));
    }
    for (n, task) in tasks.into_iter().enumerate() {
        match task.await.unwrap() {
            Ok(_) => assert_ne!(n, 20),
            Err(failure) => assert_eq!((n, failure.code()), (20, Code::InvalidArgument), "{failure}"),
        }
    }
    let without = write(&app, "alone", &backend, &name, 3 * total).await;
    if backend.plugin == "elasticsearch" {
        // What it writes is found in a second.
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    }
    let (count, input) = (backend.count)(&name);
    let counted = app.registry.call("gathered", count, Request::of(&input)).await.unwrap();
    let counted = (backend.counted)(&serde_json::from_slice(counted.json()).unwrap());
    let wanted = 2 * total + (WRITERS - WRITERS / 8) as u64 + (WRITERS - 1) as u64;
    assert_eq!(counted, Some(wanted), "all of them once");
    println!(
        "{}: {with:.0} writes/s in {batches} batches, {without:.0} alone: {:.2} times",
        backend.plugin,
        with / without
    );
    app.telemetry.flush().await;
    linked(&received.spans(), &backend);
    Arc::into_inner(app).unwrap().stop().await;
}

/// Writes a second of all writers together; each result must be its own.
async fn write(app: &Arc<App>, instance: &'static str, backend: &Arc<Backend>, name: &str, from: u64) -> f64 {
    let begun = Instant::now();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (app, backend, name) = (app.clone(), backend.clone(), name.to_owned());
        writers.push(tokio::spawn(async move {
            for n in 0..EACH {
                let n = from + (writer * EACH + n) as u64;
                let output =
                    call(&app, instance, backend.operation, (backend.write)(&name, n)).await.unwrap();
                assert!((backend.wrote)(&output, n), "{n}: {output}");
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    (WRITERS * EACH) as f64 / begun.elapsed().as_secs_f64()
}

/// Calls the write, with a key of its own as a flow does.
async fn call(app: &App, instance: &str, operation: &str, input: Value) -> Result<Value, CallFailure> {
    let context = Context { idempotency_key: Some(input.to_string().into()), ..Context::default() };
    let reply = app.registry.call(instance, operation, Request::of(&input).with_context(context)).await?;
    Ok(serde_json::from_slice(reply.json()).unwrap())
}

/// Every call has its own span, and every batch links to those that went with it.
fn linked(spans: &[Span], backend: &Backend) {
    let of = |span: &&Span, operation: &str| {
        let attributes = attributes(&span.attributes);
        attributes["chassis.operation"] == operation && attributes["chassis.instance"] == "gathered"
    };
    let items: BTreeSet<&[u8]> =
        spans.iter().filter(|span| of(span, backend.operation)).map(|span| &*span.span_id).collect();
    assert_eq!(items.len(), WRITERS * (EACH + 2));
    let mut linked = BTreeSet::new();
    for batch in spans.iter().filter(|span| of(span, backend.many)) {
        assert!(batch.links.len() >= 2);
        for link in &batch.links {
            assert!(items.contains(&*link.span_id), "a batch links to what is no call");
            assert!(linked.insert(link.span_id.clone()), "a call went twice");
        }
    }
    assert!(linked.len() > items.len() / 2, "{} of {} calls went together", linked.len(), items.len());
}

fn config(dir: &Path, plugins: PathBuf, endpoint: String, backend: &Backend) -> Config {
    let settings = match backend.url {
        Some(variable) => format!("url = \"${{env:{variable}}}\""),
        None => format!("path = {:?}", dir.join("data.db")),
    };
    let (plugin, contract) = (backend.plugin, backend.contract);
    let instance = |name: &str, coalesce: &str| {
        format!(
            "[instances.{name}]\nplugin = \"{plugin}\"\ncontract = \"{contract}\"\nconfig = {{ {settings} }}\n\
             [instances.{name}.policy]\nbulkhead = 64\nattempt_timeout = \"30s\"\ndeadline = \"60s\"\n{coalesce}"
        )
    };
    let text = "[journal]\nurl = \"memory\"\n".to_owned()
        + &instance("gathered", "")
        + &instance("alone", "coalesce = \"off\"\n");
    let file = dir.join("test.toml");
    std::fs::write(&file, text).unwrap();
    let mut config = Config::load(&Source::File(file)).unwrap();
    config.plugins_dir = plugins;
    config.flows_dir = dir.join("flows");
    std::fs::create_dir(&config.flows_dir).unwrap();
    config.telemetry.otlp_endpoint = Some(endpoint);
    config
}

/// A folder with the plugin alone, so that no other is looked at.
fn plugins(test: &str, dir: &Path, plugin: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("CHASSIS_PLUGINS_DIR") else {
        println!("skipped: {test}: CHASSIS_PLUGINS_DIR is not set");
        return None;
    };
    let file = format!("{}chassis_{plugin}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let into = dir.join("plugins");
    std::fs::create_dir(&into).unwrap();
    if std::fs::copy(Path::new(&folder).join(&file), into.join(&file)).is_err() {
        println!("skipped: {test}: {file} is not built (cargo xtask build)");
        return None;
    }
    Some(into)
}
