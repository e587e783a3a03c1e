//! The conformance suite, on the real server.

use chassis_testkit::{ServerSource, Subject, search};
use serde_json::json;

#[test]
fn manifest() {
    chassis_testkit::manifest(env!("CARGO_MANIFEST_DIR"), &chassis_elasticsearch::manifest());
}

#[test]
fn conformance() {
    chassis_testkit::run(Subject {
        package: env!("CARGO_PKG_NAME"),
        contract: "search",
        server: ServerSource::Env("CHASSIS_ELASTICSEARCH_URL"),
        config: |server| json!({ "url": server.url() }),
        wrong_config: (
            json!({ "url": "http://127.0.0.1:1", "request_timeout_ms": "soon" }),
            "request_timeout_ms",
        ),
        canary: Some(|server| (json!({ "url": server.url_with_password("canary-c0de") }), "canary-c0de")),
        slow: None,
        cases: &[search::CASES],
    });
}
