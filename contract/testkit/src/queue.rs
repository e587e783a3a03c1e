//! What every plugin of the contract `queue` must do.

mod outage;

use crate::{Bench, Case, Failure, Outcome, cases, expect_back_pressure, expect_code, expect_eq, next_item};
use chassis_loader::{Call, CallError, Code};
use serde_json::{Value, json};
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = cases! {
    "messages come in the order they were sent in, as they were" => order,
    "headers, ids and trace context arrive with the message" => headers,
    "a message for a queue that is not there is not_found" => unroutable,
    "a message without an id gets the call's idempotency key, or a new one" => ids,
    "a batch is sent in order, and a bad item fails alone" => batch,
    "a message that was put back comes again" => put_back,
    "what a dropped stream did not settle comes again" => dropped_stream,
    "a message that was refused goes to the dead-letter queue" => dead_letter,
    "a message can be retracted, and the others keep their order" => retract,
    "receive answers null, or waits for a message" => receive,
    "a message that is not settled in time comes again" => settle_in_time,
    "a receipt settles once; after that, and a foreign one, nothing, and says so" => receipts,
    "a stream sends what was granted, and not more" => back_pressure,
    "no more than prefetch messages are unsettled" => prefetch,
    "a queue can be declared again, but not otherwise" => declare_again,
    "depth, purge and delete tell how many messages there are" => counts,
    "a stream goes on when the server is back" => outage::stream_goes_on,
    "a message without its confirm is maybe_applied" => outage::no_confirm,
};

async fn declare(bench: &Bench) -> Result<String, CallError> {
    let queue = bench.unique("chassis_test");
    bench.call("declare", json!({ "queue": queue })).await?;
    Ok(queue)
}

async fn delete(bench: &Bench, queue: &str) -> Outcome {
    bench.call("delete", json!({ "queue": queue })).await?;
    Ok(())
}

async fn publish(bench: &Bench, queue: &str, body: Value) -> Result<String, CallError> {
    let output = bench.call("publish", json!({ "queue": queue, "body": body })).await?;
    Ok(output["message_id"].as_str().unwrap_or_default().to_owned())
}

/// The next message within 5 s.
async fn take(bench: &Bench, queue: &str) -> Result<Value, Failure> {
    let output = bench.call("receive", json!({ "queue": queue, "wait_ms": 5000 })).await?;
    if output["message"].is_null() { Err("no message came".into()) } else { Ok(output["message"].clone()) }
}

async fn settle(bench: &Bench, how: &str, message: &Value) -> Outcome {
    let settled = bench.call(how, json!({ "receipt": message["receipt"] })).await?;
    expect_eq(how, &settled, &json!({ "settled": true }))
}

/// Nothing is in the hands of who has this receipt: an answer, as who asks again must not be told that he failed.
async fn settles_nothing(bench: &Bench, receipt: &Value) -> Outcome {
    for how in ["ack", "nack"] {
        let settled = bench.call(how, json!({ "receipt": receipt })).await?;
        expect_eq(how, &settled, &json!({ "settled": false }))?;
    }
    Ok(())
}

async fn take_body(bench: &Bench, queue: &str) -> Result<Value, Failure> {
    let message = take(bench, queue).await?;
    settle(bench, "ack", &message).await?;
    Ok(message["body"].clone())
}

async fn empty(bench: &Bench, queue: &str) -> Outcome {
    let output = bench.call("receive", json!({ "queue": queue })).await?;
    expect_eq("a message too many", &output["message"], &Value::Null)
}

async fn order(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    let bodies = [
        json!({ "n": 1, "deep": [null, 1.5] }),
        json!("text ☃"),
        json!(3),
        json!(null),
        json!([]),
        json!("7"),
    ];
    for body in &bodies {
        publish(bench, &queue, body.clone()).await?;
    }
    let mut stream = bench.stream("consume", json!({ "queue": queue })).await?;
    stream.grant(10);
    for body in &bodies {
        let message = next_item(&mut stream).await?.ok_or("the stream ended")?;
        expect_eq("body", &message["body"], body)?;
        expect_eq("redelivered", &message["redelivered"], &json!(false))?;
        settle(bench, "ack", &message).await?;
    }
    drop(stream);
    delete(bench, &queue).await
}

async fn headers(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    let input = json!({
        "queue": queue, "body": {}, "message_id": "id-1",
        "headers": { "x-kind": "welcome ☃", "traceparent": "to be replaced" }
    });
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let call = Call {
        traceparent: Some(traceparent.into()),
        tracestate: Some("vendor=1".into()),
        ..Call::new(bench.operation("publish")?, input.to_string())
    };
    bench.call_with(call).await?;
    let message = take(bench, &queue).await?;
    let expected = json!({ "tracestate": "vendor=1", "traceparent": traceparent, "x-kind": "welcome ☃" });
    expect_eq("headers", &message["headers"], &expected)?;
    expect_eq("message_id", &message["message_id"], &json!("id-1"))?;
    let came_by = (&message["exchange"], &message["routing_key"]);
    expect_eq("exchange and routing key", &came_by, &(&json!(""), &json!(queue)))?;
    settle(bench, "ack", &message).await?;
    delete(bench, &queue).await
}

async fn unroutable(bench: &Bench) -> Outcome {
    let queue = bench.unique("chassis_missing");
    let error = expect_code(publish(bench, &queue, json!(1)).await, Code::NotFound)?;
    expect_eq("maybe_applied", &error.maybe_applied, &false)?;
    for operation in ["depth", "receive"] {
        expect_code(bench.call(operation, json!({ "queue": queue })).await, Code::NotFound)?;
    }
    Ok(())
}

async fn ids(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    let first = publish(bench, &queue, json!(1)).await?;
    let second = publish(bench, &queue, json!(2)).await?;
    expect_eq("an id is made", &(first.is_empty(), first == second), &(false, false))?;
    let input = json!({ "queue": queue, "body": 3 }).to_string();
    let keyed =
        Call { idempotency_key: Some("key-1".into()), ..Call::new(bench.operation("publish")?, input) };
    bench.call_with(keyed).await?;
    for id in [first.as_str(), &second, "key-1"] {
        let message = take(bench, &queue).await?;
        expect_eq("the id", &message["message_id"], &json!(id))?;
        settle(bench, "ack", &message).await?;
    }
    delete(bench, &queue).await
}

async fn batch(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    let missing = bench.unique("chassis_missing");
    let item = |queue: &str, n: usize| json!({ "queue": queue, "body": n, "message_id": format!("id-{n}") });
    let mut items: Vec<Value> = (0..40).map(|n| item(&queue, n)).collect();
    items[7] = item(&missing, 7);
    let output = bench.call("publish_many", json!({ "items": items })).await?;
    for n in 0..40 {
        let (result, id) = (&output["items"][n], format!("id-{n}"));
        match n {
            7 => expect_eq("the bad item", &result["error"]["code"], &json!("not_found"))?,
            _ => expect_eq("an item", result, &json!({ "ok": { "message_id": id } }))?,
        }
    }
    for n in (0..40).filter(|n| *n != 7) {
        expect_eq("the order", &take_body(bench, &queue).await?, &json!(n))?;
    }
    empty(bench, &queue).await?;
    let nothing = bench.call("publish_many", json!({ "items": [] })).await?;
    expect_eq("an empty batch", &nothing, &json!({ "items": [] }))?;
    delete(bench, &queue).await
}

async fn put_back(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    publish(bench, &queue, json!("again")).await?;
    let first = take(bench, &queue).await?;
    empty(bench, &queue).await?;
    settle(bench, "nack", &first).await?;
    let second = take(bench, &queue).await?;
    expect_eq(
        "redelivered",
        &(&first["redelivered"], &second["redelivered"]),
        &(&json!(false), &json!(true)),
    )?;
    expect_eq("body", &second["body"], &json!("again"))?;
    settle(bench, "ack", &second).await?;
    empty(bench, &queue).await?;
    delete(bench, &queue).await
}

async fn dropped_stream(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    for n in 0..4 {
        publish(bench, &queue, json!(n)).await?;
    }
    let mut stream = bench.stream("consume", json!({ "queue": queue })).await?;
    stream.grant(3);
    let mut messages = Vec::new();
    for _ in 0..3 {
        messages.push(next_item(&mut stream).await?.ok_or("the stream ended")?);
    }
    settle(bench, "ack", &messages[1]).await?;
    drop(stream);
    for n in [0, 2, 3] {
        expect_eq("what comes again", &take_body(bench, &queue).await?, &json!(n))?;
    }
    settles_nothing(bench, &messages[0]["receipt"]).await?;
    empty(bench, &queue).await?;
    delete(bench, &queue).await
}

async fn dead_letter(bench: &Bench) -> Outcome {
    for kind in ["classic", "quorum"] {
        let (queue, dead) = (bench.unique("chassis_test"), bench.unique("chassis_dead"));
        bench.call("declare", json!({ "queue": queue, "kind": kind, "dead_letter": dead })).await?;
        bench.call("publish", json!({ "queue": queue, "body": "dead", "message_id": "id-1" })).await?;
        let message = take(bench, &queue).await?;
        bench.call("nack", json!({ "receipt": message["receipt"], "requeue": false })).await?;
        let message = take(bench, &dead).await?;
        let got = (&message["body"], &message["message_id"]);
        expect_eq("the dead message", &got, &(&json!("dead"), &json!("id-1")))?;
        settle(bench, "ack", &message).await?;
        empty(bench, &queue).await?;
        delete(bench, &queue).await?;
        delete(bench, &dead).await?;
    }
    Ok(())
}

async fn retract(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    for n in 0..5 {
        let input = json!({ "queue": queue, "body": n, "message_id": format!("id-{n}") });
        bench.call("publish", input).await?;
    }
    for (id, retracted) in [("id-2", 1), ("id-2", 0), ("id-9", 0)] {
        let output = bench.call("retract", json!({ "queue": queue, "message_id": id })).await?;
        expect_eq("retracted", &output, &json!({ "retracted": retracted }))?;
    }
    for n in [0, 1, 3, 4] {
        expect_eq("the order", &take_body(bench, &queue).await?, &json!(n))?;
    }
    delete(bench, &queue).await
}

async fn receive(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    empty(bench, &queue).await?;
    let waited = bench.call("receive", json!({ "queue": queue, "wait_ms": 100 })).await?;
    expect_eq("nothing came", &waited, &json!({ "message": null }))?;
    let later = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        publish(bench, &queue, json!("late")).await
    };
    let (body, sent) = tokio::join!(take_body(bench, &queue), later);
    sent?;
    expect_eq("what came while it waited", &body?, &json!("late"))?;
    delete(bench, &queue).await
}

async fn settle_in_time(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    publish(bench, &queue, json!("slow")).await?;
    let input = json!({ "queue": queue, "wait_ms": 5000, "settle_ms": 200 });
    let first = bench.call("receive", input).await?["message"].take();
    empty(bench, &queue).await?;
    let second = take(bench, &queue).await?;
    expect_eq("redelivered", &second["redelivered"], &json!(true))?;
    settles_nothing(bench, &first["receipt"]).await?;
    settle(bench, "ack", &second).await?;
    delete(bench, &queue).await
}

async fn receipts(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    publish(bench, &queue, json!(1)).await?;
    let message = take(bench, &queue).await?;
    let other = bench.another(bench.config()).await?;
    let _ = other.call("health", json!({})).await?;
    settle(bench, "ack", &message).await?;
    for receipt in [message["receipt"].clone(), json!(""), json!("0-0-0"), json!("no receipt ☃")] {
        settles_nothing(bench, &receipt).await?;
    }
    delete(bench, &queue).await
}

async fn back_pressure(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    for n in 0..8 {
        publish(bench, &queue, json!(n)).await?;
    }
    expect_back_pressure(bench.stream("consume", json!({ "queue": queue })).await?).await?;
    delete(bench, &queue).await
}

async fn prefetch(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    for n in 0..5 {
        publish(bench, &queue, json!(n)).await?;
    }
    let mut stream = bench.stream("consume", json!({ "queue": queue, "prefetch": 2 })).await?;
    stream.grant(10);
    let first = next_item(&mut stream).await?.ok_or("the stream ended")?;
    next_item(&mut stream).await?.ok_or("the stream ended")?;
    if tokio::time::timeout(Duration::from_millis(300), stream.next()).await.is_ok() {
        return Err("a third message came while two were unsettled".into());
    }
    settle(bench, "ack", &first).await?;
    let third = next_item(&mut stream).await?.ok_or("the stream ended")?;
    expect_eq("the third message", &third["body"], &json!(2))?;
    drop(stream);
    delete(bench, &queue).await
}

async fn declare_again(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    publish(bench, &queue, json!(1)).await?;
    let again = bench.call("declare", json!({ "queue": queue })).await?;
    expect_eq("declared again", &again, &json!({ "messages": 1, "consumers": 0 }))?;
    let otherwise = bench.call("declare", json!({ "queue": queue, "kind": "quorum" })).await;
    expect_code(otherwise, Code::FailedPrecondition)?;
    expect_code(bench.call("declare", json!({ "queue": "" })).await, Code::InvalidArgument)?;
    delete(bench, &queue).await
}

async fn counts(bench: &Bench) -> Outcome {
    let queue = declare(bench).await?;
    for purged in [3, 0] {
        for n in 0..purged {
            publish(bench, &queue, json!(n)).await?;
        }
        let depth = bench.call("depth", json!({ "queue": queue })).await?;
        expect_eq("depth", &depth, &json!({ "messages": purged, "consumers": 0 }))?;
        let output = bench.call("purge", json!({ "queue": queue })).await?;
        expect_eq("purge", &output, &json!({ "purged": purged }))?;
    }
    publish(bench, &queue, json!(1)).await?;
    let output = bench.call("delete", json!({ "queue": queue })).await?;
    expect_eq("delete", &output, &json!({ "purged": 1 }))?;
    expect_code(bench.call("depth", json!({ "queue": queue })).await, Code::NotFound)?;
    Ok(())
}
