//! The conformance suite, against the real server.

use chassis_testkit::{Bench, Case, Outcome, ServerSource, Subject, cache, cases, expect_eq};
use serde_json::json;

#[test]
fn manifest() {
    chassis_testkit::manifest(env!("CARGO_MANIFEST_DIR"), &chassis_redis::manifest());
}

#[test]
fn conformance() {
    chassis_testkit::run(Subject {
        package: env!("CARGO_PKG_NAME"),
        contract: "cache",
        server: ServerSource::Env("CHASSIS_REDIS_URL"),
        config: |server| json!({ "url": server.url() }),
        wrong_config: (json!({ "url": 7 }), "url"),
        canary: Some(|server| (json!({ "url": server.url_with_password("canary-5e1") }), "canary-5e1")),
        slow: None,
        cases: &[cache::CASES, OWN],
    });
}

const OWN: &[Case] = cases! {
    "databases do not see each other's keys" => databases,
};

async fn databases(bench: &Bench) -> Outcome {
    let mut config = bench.config();
    config["database"] = json!(1);
    let other = bench.another(config).await?;
    let key = bench.unique("databases");
    bench.call("set", json!({ "key": key, "value": "v", "ttl_ms": 10_000 })).await?;
    expect_eq("the other one", &other.call("get", json!({ "key": key })).await?, &json!({ "value": null }))?;
    expect_eq("this one", &bench.call("get", json!({ "key": key })).await?, &json!({ "value": "v" }))
}
