//! The conformance suite, against the real broker.

use chassis_testkit::{ServerSource, Subject, queue};
use serde_json::json;

#[test]
fn manifest() {
    chassis_testkit::manifest(env!("CARGO_MANIFEST_DIR"), &chassis_rabbitmq::manifest());
}

#[test]
fn conformance() {
    chassis_testkit::run(Subject {
        package: env!("CARGO_PKG_NAME"),
        contract: "queue",
        server: ServerSource::Env("CHASSIS_RABBITMQ_URL"),
        config: |server| json!({ "url": server.url() }),
        wrong_config: (json!({ "url": 7 }), "url"),
        canary: Some(|server| (json!({ "url": server.url_with_password("canary-5e1") }), "canary-5e1")),
        slow: None,
        cases: &[queue::CASES],
    });
}
