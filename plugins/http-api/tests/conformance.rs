//! The conformance suite: an HTTP API of the testkit's own answers the contract's cases, the configured one the rest.

use chassis_testkit::{ServerSource, Subject, http};
use serde_json::json;

#[test]
fn manifest() {
    chassis_testkit::manifest(env!("CARGO_MANIFEST_DIR"), &chassis_http_api::manifest());
}

#[test]
fn conformance() {
    chassis_testkit::run(Subject {
        package: env!("CARGO_PKG_NAME"),
        contract: "http",
        server: ServerSource::Env("CHASSIS_API_URL"),
        config: |server| json!({ "base_url": server.url(), "health_path": "/health" }),
        wrong_config: (json!({ "base_url": 7 }), "base_url"),
        canary: Some(|server| (json!({ "base_url": server.url_with_password("canary-5e1") }), "canary-5e1")),
        slow: None,
        cases: &[http::CASES],
    });
}
