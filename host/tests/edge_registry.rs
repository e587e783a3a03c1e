//! The edge over a host as it is started: what it says of plugins and instances, and what the policies refuse.
#![allow(clippy::unwrap_used)]

mod edge_support;

use chassis::app::App;
use chassis::config::{Config, Source};
use edge_support::{Running, eventually, library, serve};
use serde_json::json;
use tempfile::TempDir;

const CONFIG: &str = r#"
[edge]
listen = "127.0.0.1:0"
[telemetry]
log = "off"
[journal]
url = "memory"
[instances.echo]
plugin = "echo"
[instances.narrow]
plugin = "echo"
[instances.narrow.policy]
bulkhead = 1
[instances.busy]
plugin = "echo"
[instances.busy.policy]
tenant_rate_limit = { per_second = 0.1, burst = 1 }
[instances.slow]
plugin = "echo"
[instances.slow.policy]
attempt_timeout = "20ms"
breaker = { consecutive = 4, open = "20s" }
[instances.down]
plugin = "echo"
config = { down = true }
[roles]
voice = "echo"
"#;

/// A host with one good plugin and one file that is none.
async fn start() -> (Running, App, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("plugins")).unwrap();
    std::fs::create_dir_all(path("flows")).unwrap();
    std::fs::copy(library(), path("plugins").join(library().file_name().unwrap())).unwrap();
    std::fs::write(path("plugins").join(format!("broken{}", std::env::consts::DLL_SUFFIX)), "no library")
        .unwrap();
    std::fs::write(path("flows").join("say.toml"), edge_support::FLOW).unwrap();
    let folders = format!("plugins_dir = {:?}\nflows_dir = {:?}\n", path("plugins"), path("flows"));
    std::fs::write(path("host.toml"), folders + CONFIG).unwrap();
    let app = App::start(Config::load(&Source::File(path("host.toml"))).unwrap()).await.unwrap();
    let running = serve(&app.config.edge, app.edge()).await;
    (running, app, folder)
}

/// One host for both: when one stops it takes away the copies of its process.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_host_answers() {
    let (edge, app, _folder) = start().await;
    plugins_and_instances_are_told_with_reasons(&edge, &app).await;
    calls_go_through_the_registry_and_its_policies(&edge).await;
    refusals_say_who_and_for_how_long(&edge).await;
    edge.stop().await;
    app.stop().await;
}

async fn plugins_and_instances_are_told_with_reasons(edge: &Running, app: &App) {
    let plugins = edge.get("/v1/plugins").await.json();
    let (echo, refused) = (&plugins["plugins"][0], &plugins["refused"][0]);
    assert_eq!((&echo["name"], &echo["loaded"], &echo["abi"]), (&json!("echo"), &json!(true), &json!("1.0")));
    assert_eq!(refused["kind"], "not_a_library");
    assert!(
        refused["path"].as_str().unwrap().contains("broken") && refused["message"].is_string(),
        "{refused}"
    );

    app.registry.check().await;
    let health = edge.get("/health").await.json();
    assert_eq!(health["status"], "degraded");
    let find =
        |name: &str| health["instances"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!((&find("echo")["state"], &find("echo")["last_error"]), (&json!("ok"), &json!(null)));
    assert!(find("echo")["version"].is_string() && find("echo")["latency_ms"].is_number());
    assert_eq!(
        (&find("down")["state"], &find("down")["last_error"]["code"]),
        (&json!("unavailable"), &json!("unavailable"))
    );
    assert!(find("down")["since"].is_string());

    let instances = edge.get("/v1/instances").await.json();
    let names: Vec<_> =
        instances["instances"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["busy", "down", "echo", "narrow", "slow"]);
    let paths = edge.get("/openapi.json").await.json()["paths"].clone();
    for operation in instances["instances"][2]["operations"].as_array().unwrap() {
        for name in names.iter().filter_map(|name| name.as_str()) {
            let path = format!("/v1/instances/{name}/{}", operation["name"].as_str().unwrap());
            assert!(paths[&path]["post"].is_object(), "{path}");
        }
    }
}

async fn calls_go_through_the_registry_and_its_policies(edge: &Running) {
    assert_eq!(edge.call("echo", r#"{"value":1}"#).await.json(), json!({ "value": 1 }));
    assert_eq!(edge.post("/v1/flows/say", r#"{"text":"hi"}"#).await.json(), json!({ "said": "hi" }));
    assert_eq!(edge.call("count", r#"{"to": 5000}"#).await.lines().len(), 5001);
    for (path, code, nearest) in [
        ("/v1/instances/nerrow/echo", "not_found", "narrow"),
        ("/v1/instances/echo/ecko", "unimplemented", "echo"),
    ] {
        let problem = edge.post(path, "{}").await.problem(404, code);
        assert_eq!(problem["nearest"], nearest);
        assert!(
            problem["detail"].as_str().unwrap().contains(&format!("did you mean `{nearest}`?")),
            "{problem}"
        );
    }
    // One call fills the instance, and the next is refused at once, by whom is said.
    let json = [("content-type", "application/json")];
    let mut connection = edge.connect().await;
    let sleep = edge_support::request("POST", "/v1/instances/narrow/sleep", &json, br#"{"ms": 60000}"#);
    let sleeping = tokio::spawn(async move { connection.send_request(sleep).await });
    eventually("the instance is full", async || {
        edge.post("/v1/instances/narrow/echo", r#"{"value":1}"#).await.status == 429
    })
    .await;
    let refused = edge.post("/v1/instances/narrow/echo", r#"{"value":1}"#).await;
    let problem = refused.problem(429, "resource_exhausted");
    assert_eq!((&problem["policy"], &problem["retryable"]), (&json!("bulkhead"), &json!(true)));
    assert_eq!((refused.header("retry-after"), &problem["retry_after"]), ("1", &json!(0.1)));
    // The client leaves, and its place is free.
    sleeping.abort();
    eventually("the place is free again", async || {
        edge.post("/v1/instances/narrow/echo", r#"{"value":1}"#).await.status == 200
    })
    .await;

    // A request and its call are one trace.
    let answer = edge.call("echo", r#"{"value":1}"#).await;
    let trace = edge.get(&format!("/v1/traces/{}", answer.trace_id())).await.json();
    let spans = trace["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 2, "{spans:?}");
    let server = spans.iter().find(|span| span["kind"] == "server").unwrap();
    let call = spans.iter().find(|span| span["kind"] != "server").unwrap();
    assert_eq!(call["parent_id"], server["span_id"]);
}

async fn refusals_say_who_and_for_how_long(edge: &Running) {
    let (path, input) = ("/v1/instances/busy/echo", r#"{"value":1}"#);
    assert_eq!(edge.post(path, input).await.status, 200);
    let refused = edge.post(path, input).await;
    let problem = refused.problem(429, "resource_exhausted");
    assert_eq!(problem["policy"], "admission");
    assert!(["10", "9"].contains(&refused.header("retry-after")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("without a tenant"), "{problem}");

    // A read that is too slow is tried three times; the first failure of the next call opens the breaker.
    let (path, input) = ("/v1/instances/slow/sleep", r#"{"ms": 60000}"#);
    edge.post(path, input).await.problem(504, "deadline_exceeded");
    edge.post(path, input).await.problem(504, "deadline_exceeded");
    let refused = edge.post(path, input).await;
    let problem = refused.problem(503, "unavailable");
    assert_eq!((&problem["policy"], &problem["maybe_applied"]), (&json!("breaker"), &json!(false)));
    assert_eq!(problem["causes"], json!(["deadline_exceeded: no answer within 20 ms"]));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((10..=20).contains(&wait), "{problem}");
    for (at, list) in [("/health", "instances"), ("/v1/instances", "instances")] {
        let shown = edge.get(at).await.json();
        let find =
            |name: &str| shown[list].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
        let breakers = &find("slow")["breakers"];
        assert_eq!(breakers["slow"]["state"], "open", "{at}");
        assert!(breakers["slow"]["retry_after_ms"].is_number() && breakers["slow"]["cause"].is_string());
        assert_eq!(find("echo")["breakers"], json!({ "echo": { "state": "closed" } }), "{at}");
    }
    let metrics = edge.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for line in [
        "chassis_breaker_state{name=\"slow\"} 2",
        "chassis_breaker_state{name=\"echo\"} 0",
        "chassis_breaker_transitions_total{name=\"slow\",to=\"open\"} 1",
        "chassis_retries_total{name=\"slow\",operation=\"sleep\"} 2",
        "chassis_retry_budget_exhausted_total{name=\"slow\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in\n{metrics}");
    }
}
