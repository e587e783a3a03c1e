//! The conformance suite, against the real broker.

use chassis_testkit::{Bench, Case, Outcome, ServerSource, Subject, cases, expect_eq, queue};
use futures_util::future::{join, join_all};
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
        cases: &[queue::CASES, OWN],
    });
}

const OWN: &[Case] = cases! {
    "health tells the broker's own version" => version,
    "an exchange that is not there, or leads nowhere, harms no other message" => exchanges,
    "messages that are taken back at the same time are all taken back" => retracts,
    "two hosts take messages back at the same time, and neither misses one that the other looks at" => two_retract,
    "what is published while a message is taken back is not waited for, and stays" => retract_under_load,
};

async fn version(bench: &Bench) -> Outcome {
    let health = bench.call("health", json!({})).await?;
    let version = health["server_version"].as_str().unwrap_or_default();
    expect_eq("begins with a digit", &version.starts_with(|first: char| first.is_ascii_digit()), &true)
}

async fn exchanges(bench: &Bench) -> Outcome {
    let queue = bench.unique("chassis_test");
    bench.call("declare", json!({ "queue": queue })).await?;
    let missing = bench.unique("chassis_missing");
    let items = json!([
        { "queue": queue, "body": 1, "message_id": "id-1" },
        { "queue": queue, "body": 2, "exchange": missing },
        { "queue": queue, "body": 3, "exchange": "amq.topic" },
        { "queue": queue, "body": 4, "message_id": "id-4" },
    ]);
    let output = bench.call("publish_many", json!({ "items": items })).await?;
    for (at, id) in [(0, "id-1"), (3, "id-4")] {
        expect_eq("an item", &output["items"][at], &json!({ "ok": { "message_id": id } }))?;
    }
    for at in [1, 2] {
        let error = &output["items"][at]["error"];
        let got = (&error["code"], &error["maybe_applied"]);
        expect_eq("a bad item", &got, &(&json!("not_found"), &json!(false)))?;
    }
    let output = bench.call("delete", json!({ "queue": queue })).await?;
    expect_eq("messages", &output, &json!({ "purged": 2 }))
}

async fn retracts(bench: &Bench) -> Outcome {
    let queue = bench.unique("chassis_test");
    bench.call("declare", json!({ "queue": queue })).await?;
    let ids: Vec<String> = (0..20).map(|n| format!("id-{n}")).collect();
    let items: Vec<_> = ids.iter().map(|id| json!({ "queue": queue, "body": 1, "message_id": id })).collect();
    bench.call("publish_many", json!({ "items": items })).await?;
    let calls = ids.iter().map(|id| bench.call("retract", json!({ "queue": queue, "message_id": id })));
    for output in join_all(calls).await {
        expect_eq("a message", &output?, &json!({ "retracted": 1 }))?;
    }
    let output = bench.call("delete", json!({ "queue": queue })).await?;
    expect_eq("messages left", &output, &json!({ "purged": 0 }))
}

async fn two_retract(bench: &Bench) -> Outcome {
    let other = bench.another(bench.config()).await?;
    for round in 0..10 {
        let queue = bench.unique("chassis_test");
        bench.call("declare", json!({ "queue": queue })).await?;
        let ids: Vec<String> = (0..200).map(|n| format!("id-{n}")).collect();
        let items: Vec<_> =
            ids.iter().map(|id| json!({ "queue": queue, "body": 1, "message_id": id })).collect();
        bench.call("publish_many", json!({ "items": items })).await?;
        let calls = (0..40).map(|n| {
            let of = if n % 2 == 0 { bench } else { &other };
            of.call("retract", json!({ "queue": queue, "message_id": ids[n * 5] }))
        });
        for (n, output) in join_all(calls).await.into_iter().enumerate() {
            expect_eq(&format!("message {n} of round {round}"), &output?, &json!({ "retracted": 1 }))?;
        }
        for n in (0..200).filter(|n| n % 5 != 0) {
            let got = bench.call("receive", json!({ "queue": queue })).await?;
            let message = &got["message"];
            expect_eq("the order", &message["message_id"], &json!(ids[n]))?;
            bench.call("ack", json!({ "receipt": message["receipt"] })).await?;
        }
        let output = bench.call("delete", json!({ "queue": queue })).await?;
        expect_eq("messages left", &output, &json!({ "purged": 0 }))?;
    }
    Ok(())
}

async fn retract_under_load(bench: &Bench) -> Outcome {
    let queue = bench.unique("chassis_test");
    bench.call("declare", json!({ "queue": queue })).await?;
    const LOAD: usize = 3_000;
    let load = async {
        for _ in 0..LOAD / 50 {
            let items = vec![json!({ "queue": queue, "body": "load" }); 50];
            bench.call("publish_many", json!({ "items": items })).await?;
        }
        Ok::<(), chassis_testkit::Failure>(())
    };
    let retracts = async {
        for n in 0..10 {
            let id = format!("id-{n}");
            bench.call("publish", json!({ "queue": queue, "body": n, "message_id": id })).await?;
            let output = bench.call("retract", json!({ "queue": queue, "message_id": id })).await?;
            expect_eq("retracted", &output, &json!({ "retracted": 1 }))?;
        }
        Ok::<(), chassis_testkit::Failure>(())
    };
    let (loaded, retracted) = join(load, retracts).await;
    loaded?;
    retracted?;
    let output = bench.call("delete", json!({ "queue": queue })).await?;
    expect_eq("messages left", &output, &json!({ "purged": LOAD }))
}
