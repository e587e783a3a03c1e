//! The conformance suite, against the real server.

use chassis_testkit::{
    Bench, CallError, Case, Code, Outcome, ServerSource, Subject, cases, expect_code, expect_eq, relational,
};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{sleep, timeout};

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
        cases: &[relational::CASES, OWN],
    });
}

/// What only PostgreSQL has.
const OWN: &[Case] = cases! {
    "types that JSON has not are what they were" => types,
    "a call that is given up stops the server's work" => stops,
    "a connection that the server ended is not used again" => terminated,
    "a write whose answer is lost is maybe_applied" => lost_answer,
    "more calls than connections wait, and no longer than they may" => pool,
    "a table that changes is seen as it is" => changed_table,
};

async fn types(bench: &Bench) -> Outcome {
    let (table, mood) = (bench.unique("types"), bench.unique("mood"));
    for sql in [
        format!("CREATE TYPE {mood} AS ENUM ('sad', 'happy')"),
        format!(
            "CREATE TABLE {table} (id uuid PRIMARY KEY, at timestamptz, local timestamp, day date, clock time,
             price numeric(12, 2), huge numeric, doc jsonb, raw bytea, tags text[], grid integer[], mood {mood},
             letter char(3), small smallint, real real, span interval, docs jsonb[], host inet, net cidr)"
        ),
    ] {
        bench.call("execute", json!({ "sql": sql })).await?;
    }
    let row = json!({
        "id": "0190163d-8694-739b-aea5-966c26f8ad91", "at": "2024-02-29T12:30:00.25Z",
        "local": "1969-12-31T23:59:59", "day": "2024-12-31", "clock": "08:00:00", "price": 12.34,
        "huge": "123456789012345678901234567890.5", "doc": { "a": ["text", 1] }, "raw": "\\x00ff",
        "tags": ["a \"b\"", null, "c\\d", "{}"], "grid": [[1, 2], [3, 4]], "mood": "happy", "letter": "abc",
        "small": -3, "real": 0.1, "span": "P14M3DT4.5S", "docs": [{ "a": 1 }, "b"],
        "host": "::1", "net": "10.0.0.0/8"
    });
    let output = bench.call("insert", json!({ "table": table, "values": row })).await?;
    expect_eq("the inserted row", &output["row"], &row)?;
    let all: Vec<&String> = row.as_object().into_iter().flat_map(|row| row.keys()).collect();
    for name in all {
        // Arrays of JSON have no equality, and a float of four bytes is not equal to the decimal it was made of.
        let test = if name == "real" { "abs(real - $1) < 0.001".to_owned() } else { format!("{name} = $1") };
        let sql = format!("SELECT id FROM {table} WHERE {test}");
        let found = bench.call("query", json!({ "sql": sql, "params": [row[name]] })).await?;
        expect_eq(&format!("found by {name}"), &found["rows"], &json!([{ "id": row["id"] }]))?;
    }
    let key = json!({ "table": table, "key": { "id": row["id"], "mood": "happy" } });
    expect_eq("found by its key", &bench.call("get", key).await?["row"], &row)
}

/// How many statements with this text the server runs.
async fn running(bench: &Bench, text: &str) -> Result<Value, CallError> {
    let sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE $1 AND state = 'active'
        AND pid <> pg_backend_pid()";
    let output = bench.call("query", json!({ "sql": sql, "params": [format!("%{text}%")] })).await?;
    Ok(output["rows"][0]["n"].clone())
}

async fn stops(bench: &Bench) -> Outcome {
    let text = bench.unique("stops");
    let input = json!({ "sql": format!("SELECT pg_sleep(60) /* {text} */") });
    for operation in ["query", "execute"] {
        let call = bench.call(operation, input.clone());
        if timeout(Duration::from_millis(300), call).await.is_ok() {
            return Err("a slow statement ended".into());
        }
    }
    let gone = || async { expect_eq("running", &running(bench, &text).await?, &json!(0)) };
    bench.eventually(Duration::from_secs(2), gone).await
}

async fn terminated(bench: &Bench) -> Outcome {
    let pid = "SELECT pg_backend_pid() AS pid";
    let output = bench.call("query", json!({ "sql": pid })).await?;
    let other = bench.another(bench.config()).await?;
    let end =
        json!({ "sql": "SELECT pg_terminate_backend($1) AS done", "params": [output["rows"][0]["pid"]] });
    other.call("query", end).await?;
    sleep(Duration::from_millis(100)).await;
    let first = bench.call("query", json!({ "sql": pid })).await;
    if let Err(error) = first {
        expect_eq("the code", &error.code, &Code::Unavailable)?;
        expect_eq("retryable", &error.retryable, &true)?;
    }
    bench.call("query", json!({ "sql": pid })).await?;
    other.instance().close().await?;
    Ok(())
}

async fn lost_answer(bench: &Bench) -> Outcome {
    let table = bench.unique("lost");
    bench.call("execute", json!({ "sql": format!("CREATE TABLE {table} (id integer PRIMARY KEY)") })).await?;
    bench.call("insert", json!({ "table": table, "values": { "id": 1 } })).await?;
    let proxy = bench.server().proxy().ok_or("no proxy")?;
    proxy.freeze().await;
    let cut = async {
        sleep(Duration::from_millis(200)).await;
        proxy.cut().await;
    };
    let (lost, ()) = join(bench.call("insert", json!({ "table": table, "values": { "id": 2 } })), cut).await;
    let error = expect_code(lost, Code::Unavailable)?;
    expect_eq("maybe_applied", &error.maybe_applied, &true)?;
    let away = bench.call("insert", json!({ "table": table, "values": { "id": 3 } })).await;
    let error = expect_code(away, Code::Unavailable)?;
    expect_eq("maybe_applied without a connection", &error.maybe_applied, &false)?;
    proxy.heal().await;
    bench.call("insert", json!({ "table": table, "values": { "id": 3 } })).await?;
    Ok(())
}

async fn pool(bench: &Bench) -> Outcome {
    let mut config = bench.config();
    config["pool_size"] = json!(2);
    config["acquire_timeout_ms"] = json!(300);
    let small = bench.another(config).await?;
    let sleep = json!({ "sql": "SELECT pg_sleep(1.0)" });
    let results = join_all((0..3).map(|_| small.call("execute", sleep.clone()))).await;
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    expect_eq("calls that found no connection", &failed.len(), &1)?;
    expect_eq("their code", &failed[0].code, &Code::ResourceExhausted)?;
    let short = json!({ "sql": "SELECT pg_sleep(0.01)" });
    for result in join_all((0..30).map(|_| small.call("execute", short.clone()))).await {
        result?;
    }
    let health = small.call("health", json!({})).await?;
    expect_eq("the pool's limit", &health["pool"]["max"], &json!(2))?;
    small.instance().close().await?;
    Ok(())
}

async fn changed_table(bench: &Bench) -> Outcome {
    let table = bench.unique("changed");
    let select = json!({ "sql": format!("SELECT * FROM {table} WHERE a = $1"), "params": [1] });
    for sql in
        [format!("CREATE TABLE {table} (a integer PRIMARY KEY)"), format!("INSERT INTO {table} VALUES (1)")]
    {
        bench.call("execute", json!({ "sql": sql })).await?;
    }
    let key = json!({ "table": table, "key": { "a": 1 } });
    bench.call("query", select.clone()).await?;
    expect_eq("the row", &bench.call("get", key.clone()).await?["row"], &json!({ "a": 1 }))?;
    bench
        .call("execute", json!({ "sql": format!("ALTER TABLE {table} ADD COLUMN b text DEFAULT 'new'") }))
        .await?;
    expect_eq("the row", &bench.call("get", key).await?["row"], &json!({ "a": 1, "b": "new" }))?;
    expect_eq("the row", &bench.call("query", select).await?["rows"][0]["b"], &json!("new"))?;
    let values = json!({ "table": table, "values": { "a": 2, "b": "x" } });
    expect_eq("the new column", &bench.call("insert", values).await?["row"]["b"], &json!("x"))
}
