//! The suite, once for each contract.

use chassis_testkit::{Case, ServerSource, Subject, cache, documents, queue, relational, search};
use serde_json::json;
use std::sync::{Mutex, PoisonError};

/// The suite counts the threads and files of the whole process: one run at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn manifest() {
    chassis_testkit::manifest(env!("CARGO_MANIFEST_DIR"), &chassis_embedded::manifest());
}

#[test]
fn relational() {
    conformance("relational", relational::CASES);
}

#[test]
fn documents() {
    conformance("documents", documents::CASES);
}

#[test]
fn cache() {
    conformance("cache", cache::CASES);
}

#[test]
fn queue() {
    conformance("queue", queue::CASES);
}

#[test]
fn search() {
    conformance("search", search::CASES);
}

fn conformance(contract: &'static str, cases: &'static [Case]) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    chassis_testkit::run(Subject {
        package: env!("CARGO_PKG_NAME"),
        contract,
        server: ServerSource::Folder,
        config: |server| json!({ "path": server.dir().join("under-test.db") }),
        wrong_config: (json!({ "path": 7 }), "path"),
        canary: None,
        slow: Some(("relational.query", json!({ "sql": forever }))),
        cases: Box::leak(Box::new([cases])),
    });
}
