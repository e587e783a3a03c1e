//! What an operator is told of bad days: each event is counted, in a series that was there before it.

#![allow(clippy::unwrap_used)]

mod process_support;
mod telemetry {
    pub mod prometheus;
}

use chassis::app::App;
use chassis::config::{Config, Source};
use chassis::error::CallFailure;
use chassis::request::{Context, Request};
use process_support::House;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use telemetry::prometheus::value_of;
use tokio::time::Instant;

/// Its undo cannot even be made, and it needs it.
const JAM: &str = r#"
[steps.said]
call = "voice.echo"
input = { value = "x" }
undo = { call = "voice.echo", input = { value = "${step.output.value.missing}" } }

[steps.broken]
call = "bad.panic"
after = ["said"]
undo = "none"
"#;

const BACK: &str = "[steps.broken]\ncall = \"bad.panic\"\nundo = \"none\"\n";
const DOZE: &str = "[steps.doze]\ncall = \"voice.sleep\"\ninput = { ms = 200 }\nundo = \"none\"\n";

struct Host {
    app: Arc<App>,
    _house: House,
}

impl Host {
    async fn start() -> Self {
        let house = House::new("");
        house.write("flows/jam.toml", JAM);
        house.write("flows/doze.toml", DOZE);
        house.write("flows/back.toml", BACK);
        house.write(
            "host.toml",
            &format!(
                "plugins_dir = {:?}\nflows_dir = {:?}\n[journal]\nurl = \"memory\"\n[telemetry]\nlog = \"off\"\n\
                 [roles]\nvoice = \"echo\"\n\
                 [instances.echo]\nplugin = \"echo\"\n[instances.echo.policy]\nbulkhead = 1\n\
                 [instances.shy]\nplugin = \"echo\"\n[instances.shy.policy]\nbulkhead = \"off\"\n\
                 rate_limit = {{ per_second = 0.001, burst = 1 }}\n\
                 [instances.bad]\nplugin = \"echo\"\n[instances.bad.policy]\nretry = \"off\"\n\
                 breaker = {{ consecutive = 1, open = \"1h\", longest = \"1h\" }}\n",
                house.path("plugins"),
                house.path("flows"),
            ),
        );
        let config = Config::load(&Source::File(house.path("host.toml"))).unwrap();
        Self { app: Arc::new(App::start(config).await.unwrap()), _house: house }
    }

    async fn call(&self, instance: &str, operation: &str, input: Value) -> Result<(), CallFailure> {
        self.app.registry.call(instance, operation, Request::of(&input)).await.map(drop)
    }

    /// Why a policy refused it.
    async fn refusal(&self, instance: &str, request: Request) -> Option<&'static str> {
        self.app.registry.call(instance, "echo", request).await.unwrap_err().refused_by
    }

    fn value(&self, name: &str, labels: &[(&'static str, &str)]) -> Option<f64> {
        let labels: BTreeMap<&str, String> =
            labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        value_of(&self.app.telemetry.prometheus(), name, &labels)
    }
}

fn said() -> Request {
    Request::of(&json!({ "value": 1 }))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_event_is_counted_in_a_series_that_was_there_before() {
    let host = Host::start().await;
    let events: [(&str, &[(&'static str, &str)]); 10] = [
        ("chassis_refused_total", &[("name", "echo"), ("policy", "bulkhead")]),
        ("chassis_refused_total", &[("name", "echo"), ("policy", "deadline")]),
        ("chassis_refused_total", &[("name", "shy"), ("policy", "admission")]),
        ("chassis_refused_total", &[("name", "bad"), ("policy", "breaker")]),
        ("chassis_plugin_crashes_total", &[("plugin", "echo"), ("name", "bad"), ("cause", "panic")]),
        ("chassis_flow_undo_failures_total", &[("flow", "jam"), ("step", "said")]),
        ("chassis_flow_runs_total", &[("flow", "jam"), ("outcome", "stuck")]),
        ("chassis_flow_step_duration_seconds_count", &[("flow", "jam"), ("step", "broken")]),
        ("chassis_journal_write_duration_seconds_count", &[]),
        ("chassis_boundary_overhead_seconds_count", &[("plugin", "echo")]),
    ];
    for (name, labels) in &events[..8] {
        assert_eq!(host.value(name, labels), Some(0.0), "{name} {labels:?} before");
    }
    for (name, labels) in [
        ("chassis_plugin_crashes_total", [("name", "bad"), ("cause", "create")].as_slice()),
        ("chassis_journal_write_failures_total", &[]),
        ("chassis_spans_exported_total", &[]),
        ("chassis_spans_dropped_total", &[]),
    ] {
        assert_eq!(host.value(name, labels), Some(0.0), "{name} {labels:?}");
    }
    assert_eq!(host.value("chassis_bulkhead_limit", &[("name", "echo")]), Some(1.0));
    assert_eq!(host.value("chassis_bulkhead_limit", &[("name", "bad")]), Some(25.0));
    assert_eq!(host.value("chassis_bulkhead_limit", &[("name", "shy")]), None, "it has no limit");
    assert!(host.value("chassis_memory_limit_bytes", &[]).unwrap() > 0.0);

    // One in the bulkhead, and no place for another.
    let app = host.app.clone();
    let sleeps = tokio::spawn(async move {
        app.registry.call("echo", "sleep", Request::of(&json!({ "ms": 60_000 }))).await.map(drop)
    });
    while host.app.registry.instance("echo").unwrap().bulkhead().in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(host.refusal("echo", said()).await, Some("bulkhead"));
    sleeps.abort();
    let _ = sleeps.await;
    let late = Context { deadline: Some(Instant::now()), ..Context::default() };
    assert_eq!(host.refusal("echo", said().with_context(late)).await, Some("deadline"));
    host.call("shy", "echo", json!({ "value": 1 })).await.unwrap();
    assert_eq!(host.refusal("shy", said()).await, Some("admission"));
    let jam = host.app.engine.run("jam", json!({}), Context::default()).await.unwrap();
    assert_eq!(jam.state.as_str(), "stuck");
    assert_eq!(host.refusal("bad", said()).await, Some("breaker"));
    // One in 64 is measured.
    for n in 0..2_000 {
        host.call("echo", "echo", json!({ "value": n })).await.unwrap();
    }
    for (name, labels) in events {
        let value = host.value(name, labels).unwrap();
        let many = name.contains("overhead") || name.contains("journal");
        assert!(if many { value >= 1.0 } else { value == 1.0 }, "{name} {labels:?}: {value}");
    }
    Arc::into_inner(host.app).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_went_back_is_counted_by_what_sent_it_back() {
    let host = Host::start().await;
    let back = host.app.engine.run("back", json!({}), Context::default()).await.unwrap();
    let code = back.error.unwrap().failure.code();
    assert_eq!((back.state.as_str(), code.as_str()), ("undone", "internal"));
    let labels = [("flow", "back"), ("outcome", "undone"), ("code", "internal")];
    assert_eq!(host.value("chassis_flow_runs_total", &labels), Some(1.0));
    Arc::into_inner(host.app).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_counted_as_long_as_it_is_under_way() {
    let host = Host::start().await;
    let active = || host.value("chassis_flow_active", &[("flow", "doze")]);
    assert_eq!(active(), Some(0.0));
    let started = host.app.engine.start("doze", json!({}), Default::default()).await.unwrap();
    assert_eq!(active(), Some(1.0));
    started.outcome().await.unwrap();
    assert_eq!(active(), Some(0.0));
    let took = host.value("chassis_flow_step_duration_seconds_sum", &[("flow", "doze"), ("step", "doze")]);
    assert!(took.unwrap() >= Duration::from_millis(200).as_secs_f64());
    Arc::into_inner(host.app).unwrap().stop().await;
}
