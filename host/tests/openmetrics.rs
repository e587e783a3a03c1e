//! `/metrics` as OpenMetrics: read by the book, with examples that lead to their traces.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod edge_support;
mod process_support;
mod telemetry {
    pub mod openmetrics;
}

use chassis::app::App;
use chassis::config::{Config, Source};
use edge_support::{Running, serve};
use process_support::House;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use telemetry::openmetrics::{Exemplar, Family, parse};

/// What Prometheus asks for.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

async fn start(house: &House) -> (App, Running) {
    house.write(
        "host.toml",
        &format!(
            "plugins_dir = {:?}\nflows_dir = {:?}\n[journal]\nurl = \"memory\"\n[telemetry]\nlog = \"off\"\n\
             [edge]\nlisten = \"127.0.0.1:0\"\n[roles]\nvoice = \"echo\"\n[instances.echo]\nplugin = \"echo\"\n",
            house.path("plugins"),
            house.path("flows"),
        ),
    );
    let config = Config::load(&Source::File(house.path("host.toml"))).unwrap();
    let app = App::start(config).await.unwrap();
    let edge = serve(&app.config.edge, app.edge()).await;
    (app, edge)
}

async fn scrape(edge: &Running) -> BTreeMap<String, Family> {
    let answer = edge.send("GET", "/metrics", &[("accept", PROMETHEUS)], b"").await;
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    parse(std::str::from_utf8(&answer.body).unwrap())
}

/// The examples of an operation's calls, by the end of their bucket.
fn examples<'a>(families: &'a BTreeMap<String, Family>, operation: &str) -> BTreeMap<&'a str, &'a Exemplar> {
    let samples = families["chassis_call_duration_seconds"].samples.iter();
    samples
        .filter(|sample| sample.labels["operation"] == operation)
        .filter_map(|sample| Some((sample.labels.get("le")?.as_str(), sample.exemplar.as_ref()?)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_call_is_an_example_of_its_bucket_and_leads_to_its_trace() {
    let house = House::new("");
    let (app, edge) = start(&house).await;
    assert!(examples(&scrape(&edge).await, "sleep").is_empty());
    assert_eq!(edge.call("sleep", r#"{"ms":300}"#).await.status, 200);
    let slow = edge.call("sleep", r#"{"ms":300}"#).await;
    // Not recorded, so that it is no example: nobody would find its trace.
    let unrecorded = [
        ("content-type", "application/json"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),
    ];
    let path = "/v1/instances/echo/sleep";
    assert_eq!(edge.send("POST", path, &unrecorded, br#"{"ms":300}"#).await.status, 200);

    let families = scrape(&edge).await;
    let found = examples(&families, "sleep");
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), ["0.5"]);
    let example = found["0.5"];
    assert_eq!(example.labels["trace_id"], slow.trace_id(), "the last recorded one");
    assert!(example.value >= 0.3);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(example.at <= now && example.at > now - 60.0, "{} of {now}", example.at);
    let trace = edge.get(&format!("/v1/traces/{}", example.labels["trace_id"])).await.json();
    let spans = trace["spans"].as_array().unwrap();
    let span = spans.iter().find(|span| span["span_id"] == *example.labels["span_id"]).unwrap();
    assert_eq!(span["attributes"]["chassis.operation"], "sleep");

    let run = edge.post("/v1/flows/say", r#"{"text":"x"}"#).await;
    let families = scrape(&edge).await;
    let flows = &families["chassis_flow_duration_seconds"].samples;
    let example = flows.iter().find_map(|sample| sample.exemplar.as_ref()).unwrap();
    assert_eq!(example.labels["trace_id"], run.trace_id());
    edge.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_forms_tell_the_same_families() {
    let house = House::new("");
    let (app, edge) = start(&house).await;
    edge.call("echo", r#"{"value":1}"#).await;
    let families = scrape(&edge).await;
    for (name, kind, unit) in [
        ("chassis_calls", "counter", None),
        ("chassis_call_duration_seconds", "histogram", Some("seconds")),
        ("chassis_bulkhead_limit", "gauge", None),
        ("chassis_memory_limit_bytes", "gauge", Some("bytes")),
        ("process_cpu_seconds", "counter", Some("seconds")),
    ] {
        let family = &families[name];
        assert_eq!((family.kind.as_str(), family.unit.as_deref()), (kind, unit), "{name}");
        assert!(family.help.as_deref().is_some_and(|help| !help.is_empty()), "{name} says nothing of itself");
    }
    let plain = edge.get("/metrics").await;
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let plain = String::from_utf8(plain.body.to_vec()).unwrap();
    assert!(!plain.contains("# EOF") && !plain.contains(" # {"));
    let named = |name: &str, kind: &str| match kind {
        "counter" => format!("# TYPE {name}_total counter\n"),
        _ => format!("# TYPE {name} {kind}\n"),
    };
    for (name, family) in &families {
        assert!(plain.contains(&named(name, &family.kind)), "{name} is not in the text form");
    }
    // The request that read the first form is counted in the second.
    let ours = |name: &&str| name.starts_with("# TYPE");
    assert_eq!(plain.lines().filter(ours).count(), families.len());
    edge.stop().await;
    app.stop().await;
}
