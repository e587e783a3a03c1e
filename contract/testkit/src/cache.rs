//! What every plugin of the contract `cache` must do.

use crate::{Bench, Case, Outcome, cases, expect_code, expect_eq};
use chassis_loader::Code;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = cases! {
    "a key that is not there is null" => missing_key,
    "text and JSON are read as they were written" => values,
    "a value that is not JSON is not read as JSON" => not_json,
    "binary values are kept byte for byte" => binary,
    "a value is gone after its time to live" => expires,
    "a new time to live replaces the old one" => expire,
    "if_absent writes once, also at the same instant" => if_absent,
    "increments add up, also at the same instant" => increments,
    "only numbers are incremented" => increment_of_text,
    "delete says whether the key was there" => delete,
    "a batch answers in order, and a bad item fails alone" => batch,
    "a time to live of 0 is refused" => no_time_to_live,
    "a write that was sent and not answered is maybe_applied, a read is not" => lost_answer,
};

async fn set(bench: &Bench, key: &str, value: Value) -> Outcome {
    let output = bench.call("set", json!({ "key": key, "value": value })).await?;
    expect_eq("set", &output, &json!({ "stored": true }))
}

async fn expect_value(bench: &Bench, key: &str, expected: Value) -> Outcome {
    let output = bench.call("get", json!({ "key": key })).await?;
    expect_eq("the value", &output, &json!({ "value": expected }))
}

async fn missing_key(bench: &Bench) -> Outcome {
    let key = bench.unique("missing");
    expect_value(bench, &key, Value::Null).await?;
    let raw = bench.reply("get_raw", json!({ "key": key }), &[]).await?;
    expect_eq("get_raw", &raw.json(), &&br#"{"found":false}"#[..])?;
    let output = bench.call("expire", json!({ "key": key, "ttl_ms": 1000 })).await?;
    expect_eq("expire", &output, &json!({ "exists": false }))
}

async fn values(bench: &Bench) -> Outcome {
    let key = bench.unique("values");
    for text in ["", "plain", "snow ☃ and \u{1f980}", "line\nline\r\n\0end", "{\"looks\": \"like JSON\"}"] {
        set(bench, &key, json!(text)).await?;
        expect_value(bench, &key, json!(text)).await?;
    }
    for value in
        [json!({ "name": "Ada", "tags": ["a", null, 1.5], "deep": { "n": -7 } }), json!([]), json!(42)]
    {
        set(bench, &key, value.clone()).await?;
        let output = bench.call("get", json!({ "key": key, "json": true })).await?;
        expect_eq("the value", &output, &json!({ "value": value }))?;
        expect_value(bench, &key, json!(value.to_string())).await?;
    }
    Ok(())
}

async fn not_json(bench: &Bench) -> Outcome {
    let key = bench.unique("not_json");
    set(bench, &key, json!("no { json")).await?;
    expect_code(bench.call("get", json!({ "key": key, "json": true })).await, Code::FailedPrecondition)?;
    Ok(())
}

async fn binary(bench: &Bench) -> Outcome {
    let key = bench.unique("binary");
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    for bytes in [&[][..], &[0, 255, 254, 13, 10, 0], &large] {
        let stored = bench.reply("set_raw", json!({ "key": key }), bytes).await?;
        expect_eq("set_raw", &stored.json(), &&br#"{"stored":true}"#[..])?;
        let read = bench.reply("get_raw", json!({ "key": key }), &[]).await?;
        expect_eq("get_raw", &read.json(), &&br#"{"found":true}"#[..])?;
        if read.raw() != bytes {
            return Err(
                format!("{} bytes were written, {} other ones read", bytes.len(), read.raw().len()).into()
            );
        }
    }
    // The last value is not UTF-8: as text it cannot be told.
    expect_code(bench.call("get", json!({ "key": key })).await, Code::FailedPrecondition)?;
    Ok(())
}

async fn expires(bench: &Bench) -> Outcome {
    let (key, raw) = (bench.unique("ttl"), bench.unique("ttl_raw"));
    bench.call("set", json!({ "key": key, "value": "v", "ttl_ms": 300 })).await?;
    bench.reply("set_raw", json!({ "key": raw, "ttl_ms": 300 }), b"v").await?;
    expect_value(bench, &key, json!("v")).await?;
    tokio::time::sleep(Duration::from_millis(400)).await;
    expect_value(bench, &key, Value::Null).await?;
    expect_value(bench, &raw, Value::Null).await?;
    let again = bench.call("set", json!({ "key": key, "value": "w", "if_absent": true })).await?;
    expect_eq("if_absent after the end", &again, &json!({ "stored": true }))?;
    // Written without one, a key lives on.
    bench.call("set", json!({ "key": key, "value": "v", "ttl_ms": 200 })).await?;
    set(bench, &key, json!("for ever")).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    expect_value(bench, &key, json!("for ever")).await
}

async fn expire(bench: &Bench) -> Outcome {
    let key = bench.unique("expire");
    set(bench, &key, json!("v")).await?;
    for ttl_ms in [60_000, 150] {
        let output = bench.call("expire", json!({ "key": key, "ttl_ms": ttl_ms })).await?;
        expect_eq("expire", &output, &json!({ "exists": true }))?;
    }
    tokio::time::sleep(Duration::from_millis(250)).await;
    expect_value(bench, &key, Value::Null).await
}

async fn if_absent(bench: &Bench) -> Outcome {
    let key = bench.unique("if_absent");
    let calls = (0..16).map(|n| bench.call("set", json!({ "key": key, "value": n, "if_absent": true })));
    let mut winner = None;
    for (n, output) in join_all(calls).await.into_iter().enumerate() {
        if output?["stored"] == true && winner.replace(n).is_some() {
            return Err("two calls wrote the same key".into());
        }
    }
    let winner = winner.ok_or("no call wrote the key")?;
    expect_value(bench, &key, json!(winner.to_string())).await
}

async fn increments(bench: &Bench) -> Outcome {
    let key = bench.unique("increment");
    let first = bench.call("increment", json!({ "key": key, "by": -5 })).await?;
    expect_eq("the first sum", &first, &json!({ "value": -5 }))?;
    for result in join_all((0..20).map(|_| bench.call("increment", json!({ "key": key })))).await {
        result?;
    }
    let sum = bench.call("increment", json!({ "key": key, "by": 0 })).await?;
    expect_eq("the sum", &sum, &json!({ "value": 15 }))?;
    expect_value(bench, &key, json!("15")).await
}

async fn increment_of_text(bench: &Bench) -> Outcome {
    let key = bench.unique("increment_text");
    set(bench, &key, json!("seven")).await?;
    expect_code(bench.call("increment", json!({ "key": key })).await, Code::FailedPrecondition)?;
    expect_value(bench, &key, json!("seven")).await
}

async fn delete(bench: &Bench) -> Outcome {
    let key = bench.unique("delete");
    set(bench, &key, json!("v")).await?;
    for deleted in [true, false] {
        let output = bench.call("delete", json!({ "key": key })).await?;
        expect_eq("delete", &output, &json!({ "deleted": deleted }))?;
    }
    expect_value(bench, &key, Value::Null).await
}

async fn batch(bench: &Bench) -> Outcome {
    let keys: Vec<String> = (0..4).map(|_| bench.unique("batch")).collect();
    let items = json!([
        { "key": keys[0], "value": { "n": 0 }, "ttl_ms": 60_000 },
        { "key": keys[1], "value": "bad", "ttl_ms": 0 },
        { "key": keys[2], "value": "two" },
        { "key": keys[2], "value": "late", "if_absent": true },
    ]);
    let output = bench.call("set_many", json!({ "items": items })).await?;
    expect_eq("the 1st item", &output["items"][0], &json!({ "ok": { "stored": true } }))?;
    expect_eq("the bad item", &output["items"][1]["error"]["code"], &json!("invalid_argument"))?;
    expect_eq("the 3rd item", &output["items"][2], &json!({ "ok": { "stored": true } }))?;
    expect_eq("the 4th item", &output["items"][3], &json!({ "ok": { "stored": false } }))?;
    let items = json!([
        { "key": keys[2] },
        { "key": keys[2], "json": true },
        { "key": keys[3] },
        { "key": keys[0], "json": true },
    ]);
    let output = bench.call("get_many", json!({ "items": items })).await?;
    expect_eq("the 1st item", &output["items"][0], &json!({ "ok": { "value": "two" } }))?;
    expect_eq("the bad item", &output["items"][1]["error"]["code"], &json!("failed_precondition"))?;
    expect_eq("the 3rd item", &output["items"][2], &json!({ "ok": { "value": null } }))?;
    expect_eq("the 4th item", &output["items"][3], &json!({ "ok": { "value": { "n": 0 } } }))?;
    for operation in ["get_many", "set_many"] {
        let output = bench.call(operation, json!({ "items": [] })).await?;
        expect_eq("an empty batch", &output, &json!({ "items": [] }))?;
    }
    Ok(())
}

async fn no_time_to_live(bench: &Bench) -> Outcome {
    let key = bench.unique("no_ttl");
    for (operation, input) in [
        ("set", json!({ "key": key, "value": "v", "ttl_ms": 0 })),
        ("set_raw", json!({ "key": key, "ttl_ms": 0 })),
        ("expire", json!({ "key": key, "ttl_ms": 0 })),
    ] {
        let error = expect_code(bench.call(operation, input).await, Code::InvalidArgument)?;
        expect_eq("the field", &error.field.as_deref(), &Some("ttl_ms"))?;
    }
    expect_value(bench, &key, Value::Null).await
}

/// There is nothing to lose where the plugin needs no server.
async fn lost_answer(bench: &Bench) -> Outcome {
    let Some(proxy) = bench.server().proxy() else { return Ok(()) };
    let key = bench.unique("lost");
    bench.call("health", json!({})).await?;
    proxy.freeze().await;
    let cut = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.cut().await;
    };
    let write = bench.call("increment", json!({ "key": key }));
    let (written, read, ()) = tokio::join!(write, bench.call("get", json!({ "key": key })), cut);
    for (what, result, maybe_applied) in [("a write", written, true), ("a read", read, false)] {
        let error = expect_code(result, Code::Unavailable)?;
        expect_eq(what, &(error.retryable, error.maybe_applied), &(true, maybe_applied))?;
    }
    // Nothing can have been sent now.
    let error = expect_code(bench.call("increment", json!({ "key": key })).await, Code::Unavailable)?;
    expect_eq("a write without a connection", &error.maybe_applied, &false)?;
    proxy.heal().await;
    let works = || async { Ok(bench.call("get", json!({ "key": key })).await.map(drop)?) };
    bench.eventually(Duration::from_secs(10), works).await
}
