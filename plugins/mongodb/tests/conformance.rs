//! The conformance suite, on MongoDB.

use chassis_testkit::{ServerSource, Subject, documents};
use serde_json::json;

#[test]
fn manifest() {
    chassis_testkit::manifest(env!("CARGO_MANIFEST_DIR"), &chassis_mongodb::manifest());
}

#[test]
fn conformance() {
    chassis_testkit::run(Subject {
        package: env!("CARGO_PKG_NAME"),
        contract: "documents",
        server: ServerSource::Env("CHASSIS_MONGODB_URL"),
        config: |server| json!({ "url": server.url() }),
        wrong_config: (json!({ "url": "mongodb://127.0.0.1:1/x", "pool_size": "many" }), "pool_size"),
        canary: Some(|server| (json!({ "url": server.url_with_password("canary-91b2") }), "canary-91b2")),
        slow: None,
        cases: &[documents::CASES],
    });
}
