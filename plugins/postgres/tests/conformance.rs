//! The conformance suite, against the real server.

use chassis_testkit::{ServerSource, Subject, relational};
use serde_json::json;

#[test]
fn manifest() {
    chassis_testkit::manifest(env!("CARGO_MANIFEST_DIR"), &chassis_postgres::manifest());
}

#[test]
fn conformance() {
    chassis_testkit::run(Subject {
        package: env!("CARGO_PKG_NAME"),
        contract: "relational",
        server: ServerSource::Env("CHASSIS_POSTGRES_URL"),
        config: |server| json!({ "url": server.url() }),
        wrong_config: (json!({ "url": 7 }), "url"),
        canary: Some(|server| (json!({ "url": server.url_with_password("canary-5e1") }), "canary-5e1")),
        slow: Some(("query", json!({ "sql": "SELECT pg_sleep(30)" }))),
        cases: &[relational::CASES],
    });
}
