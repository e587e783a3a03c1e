//! What every plugin of the contract `relational` must do. The SQL is what SQLite and PostgreSQL have in common.

use crate::{Bench, Case, Outcome, cases, expect_back_pressure, expect_code, expect_eq, next_item};
use chassis_loader::{CallError, Code};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{sleep, timeout};

/// The cases.
pub const CASES: &[Case] = cases! {
    "a row is read as it was inserted, a missing one is null" => insert_and_get,
    "a taken key is already_exists and names its column" => unique,
    "a missing value is invalid_argument and names its column" => not_null,
    "what is not there is told from what is wrong" => wrong_names,
    "upsert inserts, then changes" => upsert,
    "update and delete say how many rows" => update_and_delete,
    "in a batch one bad item fails alone, and the order is kept" => batch_of_inserts,
    "a batch reads, upserts and deletes each item as if alone" => other_batches,
    "a transaction is done as a whole" => transaction,
    "a transaction that fails leaves nothing" => transaction_fails,
    "a transaction that is given up leaves all or nothing, and the instance goes on" => transaction_dropped,
    "values are what they were, whatever their type" => types,
    "a stream of many rows waits for its reader" => stream,
    "a stream that is dropped leaves its instance free" => stream_dropped,
    "migrations are applied once, and a changed one is refused" => migrate,
    "a migration that fails leaves nothing" => migration_fails,
    "wrong SQL names its position" => wrong_sql,
    "the number of values must fit" => wrong_params,
    "names cannot break out of their quotes" => injection,
    "calls at the same instant lose no write" => concurrent,
};

/// Makes a table with a key, a unique column, a required one and others.
async fn table(bench: &Bench) -> Result<String, CallError> {
    let name = bench.unique("people");
    let sql = format!(
        "CREATE TABLE {name} (id INTEGER PRIMARY KEY, email TEXT UNIQUE, name TEXT NOT NULL, active BOOLEAN,
         score DOUBLE PRECISION, big BIGINT, extra JSON)"
    );
    bench.call("execute", json!({ "sql": sql })).await?;
    Ok(name)
}

fn person(id: u64) -> Value {
    json!({ "id": id, "email": format!("p{id}@example.com"), "name": format!("person {id}") })
}

async fn insert(bench: &Bench, table: &str, values: Value) -> Result<Value, CallError> {
    bench.call("insert", json!({ "table": table, "values": values })).await
}

async fn get(bench: &Bench, table: &str, id: u64) -> Result<Value, CallError> {
    Ok(bench.call("get", json!({ "table": table, "key": { "id": id } })).await?["row"].clone())
}

async fn count(bench: &Bench, table: &str) -> Result<Value, CallError> {
    let sql = format!("SELECT count(*) AS n FROM {table}");
    Ok(bench.call("query", json!({ "sql": sql })).await?["rows"][0]["n"].clone())
}

async fn insert_and_get(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    let inserted = insert(bench, &table, person(1)).await?;
    expect_eq("the row", &inserted["row"]["email"], &json!("p1@example.com"))?;
    expect_eq("a column without a value", &inserted["row"]["active"], &Value::Null)?;
    expect_eq("the row that is read", &get(bench, &table, 1).await?, &inserted["row"])?;
    expect_eq("a missing row", &get(bench, &table, 2).await?, &Value::Null)?;
    let sql = format!("SELECT name FROM {table} WHERE id = $1");
    let output = bench.call("query", json!({ "sql": sql, "params": [1] })).await?;
    expect_eq("a query", &output, &json!({ "rows": [{ "name": "person 1" }] }))
}

async fn unique(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    insert(bench, &table, person(1)).await?;
    let mut taken = person(2);
    taken["email"] = json!("p1@example.com");
    let error = expect_code(insert(bench, &table, taken).await, Code::AlreadyExists)?;
    expect_eq("the field", &error.field.as_deref(), &Some("email"))?;
    if error.retryable || error.status.is_none() {
        return Err(format!("not to be repeated, and with the server's own code: {error:?}").into());
    }
    let error = expect_code(insert(bench, &table, person(1)).await, Code::AlreadyExists)?;
    if !error.field.as_deref().is_some_and(|field| field == "id" || field == "email") {
        return Err(format!("the field must be a column: {error:?}").into());
    }
    expect_eq("rows", &count(bench, &table).await?, &json!(1))
}

async fn not_null(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    let error = expect_code(insert(bench, &table, json!({ "id": 1 })).await, Code::InvalidArgument)?;
    expect_eq("the field", &error.field.as_deref(), &Some("name"))
}

async fn wrong_names(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    let missing = bench.unique("missing");
    expect_code(insert(bench, &missing, person(1)).await, Code::NotFound)?;
    let sql = format!("SELECT * FROM {missing}");
    expect_code(bench.call("query", json!({ "sql": sql })).await, Code::NotFound)?;
    let wrong = insert(bench, &table, json!({ "id": 1, "name": "a", "no_such": 1 })).await;
    let error = expect_code(wrong, Code::InvalidArgument)?;
    expect_eq("the field", &error.field.as_deref(), &Some("no_such"))?;
    let empty = bench.call("delete", json!({ "table": table, "key": {} })).await;
    let error = expect_code(empty, Code::InvalidArgument)?;
    expect_eq("the field", &error.field.as_deref(), &Some("key"))
}

async fn upsert(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    for name in ["first", "second"] {
        let mut values = person(1);
        values["name"] = json!(name);
        let output = bench.call("upsert", json!({ "table": table, "key": ["id"], "values": values })).await?;
        expect_eq("the row", &output["row"]["name"], &json!(name))?;
    }
    expect_eq("rows", &count(bench, &table).await?, &json!(1))?;
    let only_key = json!({ "table": table, "key": ["email"], "values": person(1) });
    expect_eq("the row", &bench.call("upsert", only_key).await?["row"]["name"], &json!("person 1"))
}

async fn update_and_delete(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    for id in 1..=3 {
        insert(bench, &table, person(id)).await?;
    }
    let update = json!({ "table": table, "key": { "active": null }, "values": { "active": true } });
    expect_eq("update", &bench.call("update", update).await?, &json!({ "rows_affected": 3 }))?;
    expect_eq("the new value", &get(bench, &table, 3).await?["active"], &json!(true))?;
    let key = json!({ "table": table, "key": { "id": 3, "active": true } });
    expect_eq("delete", &bench.call("delete", key.clone()).await?, &json!({ "rows_affected": 1 }))?;
    expect_eq("delete again", &bench.call("delete", key).await?, &json!({ "rows_affected": 0 }))?;
    let sql = format!("UPDATE {table} SET score = $1 WHERE id >= $2");
    let output = bench.call("execute", json!({ "sql": sql, "params": [1.5, 0] })).await?;
    expect_eq("execute", &output, &json!({ "rows_affected": 2 }))
}

async fn batch_of_inserts(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    insert(bench, &table, person(5)).await?;
    let mut items: Vec<Value> = (0..20).map(|id| json!({ "table": table, "values": person(id) })).collect();
    items[7]["values"] = json!({ "id": 7 });
    items[9]["table"] = json!(bench.unique("missing"));
    items[11]["values"]["id"] = json!("not a number");
    let output = bench.call("insert_many", json!({ "items": items })).await?;
    let results = output["items"].as_array().ok_or("no items")?;
    expect_eq("results", &results.len(), &20)?;
    for (at, result) in results.iter().enumerate() {
        let expected = match at {
            5 => json!("already_exists"),
            7 => json!("invalid_argument"),
            9 => json!("not_found"),
            11 => json!("invalid_argument"),
            _ => Value::Null,
        };
        expect_eq(&format!("item {at}: {result}"), &result["error"]["code"], &expected)?;
        if expected.is_null() {
            expect_eq("its row", &result["ok"]["row"]["id"], &json!(at))?;
        }
    }
    expect_eq("rows", &count(bench, &table).await?, &json!(17))
}

async fn other_batches(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    let mut items: Vec<Value> =
        (0..6).map(|id| json!({ "table": table, "key": ["id"], "values": person(id) })).collect();
    // The same key twice: the second is a change of the first.
    items[5]["values"]["id"] = json!(0);
    items[5]["values"]["name"] = json!("changed");
    let output = bench.call("upsert_many", json!({ "items": items })).await?;
    for (at, id) in [0, 1, 2, 3, 4, 0].iter().enumerate() {
        expect_eq("an upserted row", &output["items"][at]["ok"]["row"]["id"], &json!(id))?;
    }
    let keys: Vec<Value> =
        [4, 77, 0, 4].iter().map(|id| json!({ "table": table, "key": { "id": id } })).collect();
    let output = bench.call("get_many", json!({ "items": keys })).await?;
    let names: Vec<&Value> = (0..4).map(|at| &output["items"][at]["ok"]["row"]["name"]).collect();
    let (fourth, changed) = (json!("person 4"), json!("changed"));
    expect_eq("rows", &names, &vec![&fourth, &Value::Null, &changed, &fourth])?;
    let output = bench.call("delete_many", json!({ "items": keys[..3] })).await?;
    let affected: Vec<&Value> = (0..3).map(|at| &output["items"][at]["ok"]["rows_affected"]).collect();
    expect_eq("deleted", &affected, &vec![&json!(1), &json!(0), &json!(1)])?;
    expect_eq("rows", &count(bench, &table).await?, &json!(3))
}

async fn transaction(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    let statements = json!([
        { "sql": format!("INSERT INTO {table} (id, name) VALUES ($1, $2), (2, 'b')"), "params": [1, "a"] },
        { "sql": format!("UPDATE {table} SET name = 'c' WHERE id = 2") },
        { "sql": format!("SELECT name FROM {table} ORDER BY id") },
    ]);
    let output = bench.call("transaction", json!({ "statements": statements })).await?;
    expect_eq("inserted", &output["results"][0]["rows_affected"], &json!(2))?;
    expect_eq("updated", &output["results"][1]["rows_affected"], &json!(1))?;
    expect_eq("read", &output["results"][2]["rows"], &json!([{ "name": "a" }, { "name": "c" }]))
}

async fn transaction_fails(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    let insert = format!("INSERT INTO {table} (id, name) VALUES ($1, $2)");
    let statements = json!([
        { "sql": insert, "params": [1, "a"] },
        { "sql": insert, "params": [1, "b"] },
    ]);
    let failed = bench.call("transaction", json!({ "statements": statements })).await;
    let error = expect_code(failed, Code::AlreadyExists)?;
    if error.maybe_applied || !error.causes.iter().any(|cause| cause.contains("statements[1]")) {
        return Err(format!("must say which statement failed, and that nothing was done: {error:?}").into());
    }
    expect_eq("rows", &count(bench, &table).await?, &json!(0))
}

async fn transaction_dropped(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    let insert = format!("INSERT INTO {table} (id, name) VALUES ($1, $2)");
    let mut id = 0;
    for wait in [0, 1, 2, 5, 10, 20, 50] {
        let statements: Vec<Value> =
            (id..id + 50).map(|id| json!({ "sql": insert, "params": [id, "a"] })).collect();
        id += 50;
        let call = bench.call("transaction", json!({ "statements": statements }));
        let _ = timeout(Duration::from_millis(wait), call).await;
    }
    insert_after(bench, &table, id).await?;
    let rows = count(bench, &table).await?.as_u64().unwrap_or(0);
    expect_eq("rows of half a transaction", &((rows - 1) % 50), &0)
}

async fn insert_after(bench: &Bench, table: &str, id: u64) -> Outcome {
    insert(bench, table, person(id)).await?;
    Ok(())
}

async fn types(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    let rows = [
        json!({ "id": 1, "email": "", "name": "snow ☃, quote ' and \"", "active": true, "score": 0.1,
                "big": i64::MAX, "extra": { "a": [1, null, "x"], "b": { "c": false } } }),
        json!({ "id": 2, "email": "x", "name": "{\"looks\": \"like JSON\"}", "active": false, "score": -1e300,
                "big": i64::MIN, "extra": [] }),
        json!({ "id": 3, "email": null, "name": "line\nline", "active": null, "score": 3.0, "big": 0, "extra": null }),
    ];
    for row in &rows {
        let id = row["id"].as_u64().unwrap_or_default();
        let inserted = insert(bench, &table, row.clone()).await?;
        expect_eq("the inserted row", &inserted["row"], row)?;
        expect_eq("the row that is read", &get(bench, &table, id).await?, row)?;
        let sql = format!("SELECT id FROM {table} WHERE name = $1 AND big = $2 AND (score = $3)");
        let params = json!([row["name"], row["big"], row["score"]]);
        let found = bench.call("query", json!({ "sql": sql, "params": params })).await?;
        expect_eq("found by its values", &found["rows"], &json!([{ "id": id }]))?;
    }
    Ok(())
}

/// A statement that answers the numbers from 1 to `$1` with a text of some length.
fn numbers() -> &'static str {
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < CAST($1 AS INTEGER))
     SELECT i, 'a text of some length, so that no buffer on the way can hold all of it' AS text FROM n"
}

async fn stream(bench: &Bench) -> Outcome {
    let input = json!({ "sql": numbers(), "params": [20_000] });
    expect_back_pressure(bench.stream("query_stream", input.clone()).await?).await?;
    let mut rows = bench.stream("query_stream", input).await?;
    let mut expected = 0;
    rows.grant(100);
    while let Some(row) = next_item(&mut rows).await? {
        expected += 1;
        expect_eq("a row in its order", &row["i"], &json!(expected))?;
        if expected % 100 == 0 {
            if expected < 1_000 {
                sleep(Duration::from_millis(5)).await;
            }
            rows.grant(100);
        }
    }
    expect_eq("rows", &expected, &20_000)
}

async fn stream_dropped(bench: &Bench) -> Outcome {
    for _ in 0..30 {
        let input = json!({ "sql": numbers(), "params": [1_000_000] });
        let mut rows = bench.stream("query_stream", input).await?;
        rows.grant(1);
        next_item(&mut rows).await?.ok_or("no row")?;
    }
    let table = table(bench).await?;
    insert_after(bench, &table, 1).await?;
    expect_eq("rows", &count(bench, &table).await?, &json!(1))
}

/// Versions that no other run has used: the entries of a database outlive a run.
fn version() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or_default()
}

async fn migrate(bench: &Bench) -> Outcome {
    let (name, first) = (bench.unique("migrated"), version());
    let second = first + 1;
    let mut input = json!({ "migrations": [
        { "version": second, "name": "index", "sql": format!("CREATE INDEX {name}_name ON {name} (name)") },
        { "version": first, "name": "table", "sql": format!(
            "CREATE TABLE {name} (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO {name} VALUES (1, 'a; b')") },
    ] });
    let output = bench.call("migrate", input.clone()).await?;
    expect_eq("applied", &output, &json!({ "applied": [first, second] }))?;
    expect_eq("rows", &count(bench, &name).await?, &json!(1))?;
    let again = join_all((0..4).map(|_| bench.call("migrate", input.clone()))).await;
    for output in again {
        expect_eq("applied again", &output?, &json!({ "applied": [] }))?;
    }
    input["migrations"][0]["sql"] = json!(format!("CREATE INDEX {name}_other ON {name} (id)"));
    expect_code(bench.call("migrate", input).await, Code::FailedPrecondition)?;
    Ok(())
}

async fn migration_fails(bench: &Bench) -> Outcome {
    let (name, version) = (bench.unique("half"), version());
    let sql = format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY); INSERT INTO {name}_missing VALUES (1)");
    let input = json!({ "migrations": [{ "version": version, "name": "bad", "sql": sql }] });
    expect_code(bench.call("migrate", input).await, Code::NotFound)?;
    expect_code(count(bench, &name).await, Code::NotFound)?;
    let sql = format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY)");
    let input = json!({ "migrations": [{ "version": version, "name": "good", "sql": sql }] });
    expect_eq("applied", &bench.call("migrate", input).await?, &json!({ "applied": [version] }))
}

async fn wrong_sql(bench: &Bench) -> Outcome {
    let wrong = bench.call("query", json!({ "sql": "SELECT 1 FORM x WHERE" })).await;
    let error = expect_code(wrong, Code::InvalidArgument)?;
    expect_eq("the field", &error.field.as_deref(), &Some("sql"))?;
    if !error.message.contains("at character") {
        return Err(format!("must name the position: {error}").into());
    }
    let two = bench.call("execute", json!({ "sql": "SELECT 1; SELECT 2" })).await;
    expect_code(two, Code::InvalidArgument)?;
    let begin = bench.call("execute", json!({ "sql": "BEGIN" })).await;
    expect_code(begin, Code::InvalidArgument)?;
    Ok(())
}

async fn wrong_params(bench: &Bench) -> Outcome {
    for (sql, params) in [("SELECT CAST($1 AS TEXT) AS a", json!([])), ("SELECT 1 AS a", json!([1]))] {
        let wrong = bench.call("query", json!({ "sql": sql, "params": params })).await;
        let error = expect_code(wrong, Code::InvalidArgument)?;
        expect_eq("the field", &error.field.as_deref(), &Some("params"))?;
    }
    let right = json!({ "sql": "SELECT '$2' AS a, CAST($1 AS TEXT) AS b, '$2' AS c", "params": ["x"] });
    let output = bench.call("query", right).await?;
    expect_eq("the row", &output["rows"], &json!([{ "a": "$2", "b": "x", "c": "$2" }]))
}

async fn injection(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    insert(bench, &table, person(1)).await?;
    let evil = format!("{table}\" WHERE 1=1; DROP TABLE {table}; --");
    let key = json!({ "table": evil, "key": { "id": 1 } });
    let column = json!({ "table": table, "key": { "id\" = 1 OR 1=1 --": 1 } });
    for input in [key, column] {
        match bench.call("delete", input).await {
            Err(error) if matches!(error.code, Code::InvalidArgument | Code::NotFound) => {}
            other => return Err(format!("expected a refusal, got {other:?}").into()),
        }
    }
    let value = json!({ "table": table, "key": { "name": "x' OR '1'='1" } });
    expect_eq("deleted", &bench.call("delete", value).await?, &json!({ "rows_affected": 0 }))?;
    expect_eq("rows", &count(bench, &table).await?, &json!(1))
}

async fn concurrent(bench: &Bench) -> Outcome {
    let table = table(bench).await?;
    let mut counter = person(1000);
    counter["big"] = json!(0);
    insert(bench, &table, counter).await?;
    let add = format!("UPDATE {table} SET big = big + 1 WHERE id = 1000");
    let calls = (0..64).map(|id| {
        let (table, add) = (&table, &add);
        async move {
            insert(bench, table, person(id)).await?;
            bench.call("execute", json!({ "sql": add })).await
        }
    });
    for result in join_all(calls).await {
        expect_eq("execute", &result?, &json!({ "rows_affected": 1 }))?;
    }
    expect_eq("rows", &count(bench, &table).await?, &json!(65))?;
    expect_eq("the sum", &get(bench, &table, 1000).await?["big"], &json!(64))
}
