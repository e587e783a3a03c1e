//! The suite, once for each contract.

use chassis_testkit::{
    Bench, Case, Code, Outcome, ServerSource, Subject, cache, cases, documents, expect_code, expect_eq,
    queue, relational, search,
};
use serde_json::{Value, json};
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
        cases: Box::leak(Box::new([cases, OWN])),
    });
}

/// What is so because the backend is a file.
const OWN: &[Case] = cases! {
    "while the file is away every contract says so, and what was written is there again" => away,
    "two instances on one file see each other's writes" => shared,
    "a file that was replaced is another database" => replaced,
};

/// A read of each contract.
fn reads() -> [(&'static str, Value); 5] {
    [
        ("relational.query", json!({ "sql": "SELECT 1 AS one" })),
        ("documents.count", json!({ "collection": "c" })),
        ("cache.get", json!({ "key": "k" })),
        ("queue.depth", json!({ "queue": "q" })),
        ("search.get", json!({ "index": "i", "id": "1" })),
    ]
}

/// A write of each contract.
fn writes() -> [(&'static str, Value); 5] {
    [
        ("relational.execute", json!({ "sql": "CREATE TABLE IF NOT EXISTS t (a INTEGER)" })),
        ("documents.insert", json!({ "collection": "c", "document": {} })),
        ("cache.set", json!({ "key": "k", "value": "v" })),
        ("queue.declare", json!({ "queue": "q" })),
        ("search.index", json!({ "index": "i", "id": "1", "document": { "text": "word" } })),
    ]
}

async fn away(bench: &Bench) -> Outcome {
    for (operation, input) in writes() {
        bench.call(operation, input).await?;
    }
    let mut before = Vec::new();
    for (operation, input) in reads() {
        before.push(bench.call(operation, input).await?);
    }
    bench.server().stop().await?;
    let mut wrong = Vec::new();
    for (operation, input) in reads().into_iter().chain(writes()) {
        match bench.call(operation, input).await {
            Err(error) if error.code == Code::Unavailable && error.retryable => {}
            other => wrong.push(format!("{operation}: {other:?}")),
        }
    }
    bench.server().start().await?;
    expect_eq("operations that do not say unavailable", &wrong, &Vec::new())?;
    for ((operation, input), before) in reads().into_iter().zip(before) {
        expect_eq(operation, &bench.call(operation, input).await?, &before)?;
    }
    Ok(())
}

async fn shared(bench: &Bench) -> Outcome {
    let other = bench.another(bench.config()).await?;
    let key = bench.unique("shared");
    let add = json!({ "key": key, "by": 1 });
    for n in 1..=20 {
        let (one, two) = tokio::join!(
            bench.call("cache.increment", add.clone()),
            other.call("cache.increment", add.clone())
        );
        let sums = one?["value"].as_u64().zip(two?["value"].as_u64());
        let (one, two) = sums.ok_or("no number")?;
        expect_eq("the larger sum", &one.max(two), &(2 * n))?;
    }
    other.instance().close().await?;
    Ok(())
}

async fn replaced(bench: &Bench) -> Outcome {
    let path = bench.config()["path"].as_str().ok_or("no path")?.to_owned();
    let key = bench.unique("replaced");
    bench.call("cache.set", json!({ "key": key, "value": "old" })).await?;
    let aside = format!("{path}.old");
    let moved = |from: &str, to: &str| std::fs::rename(from, to).map_err(|error| error.to_string());
    for end in ["", "-wal", "-shm"] {
        moved(&format!("{path}{end}"), &format!("{aside}{end}"))?;
    }
    let gone = bench.call("cache.get", json!({ "key": key })).await;
    expect_code(gone, Code::Unavailable)?;
    std::fs::write(&path, "").map_err(|error| error.to_string())?;
    let empty = bench.call("cache.get", json!({ "key": key })).await?;
    expect_eq("the value in the new file", &empty["value"], &Value::Null)?;
    bench.call("cache.set", json!({ "key": key, "value": "new" })).await?;
    let read = bench.call("cache.get", json!({ "key": key })).await?;
    expect_eq("the value", &read["value"], &json!("new"))
}
