//! A broker that goes away, and comes back. There is nothing to try where the plugin needs no server.

use super::{declare, delete, publish, settle};
use crate::{Bench, Outcome, expect_code, expect_eq, next_item};
use chassis_loader::Code;
use serde_json::json;
use std::time::Duration;

pub(super) async fn stream_goes_on(bench: &Bench) -> Outcome {
    let Some(proxy) = bench.server().proxy() else { return Ok(()) };
    let queue = declare(bench).await?;
    let mut stream = bench.stream("consume", json!({ "queue": queue })).await?;
    stream.grant(10);
    publish(bench, &queue, json!("before")).await?;
    let before = next_item(&mut stream).await?.ok_or("the stream ended")?;
    proxy.cut().await;
    let silent = tokio::time::timeout(Duration::from_millis(500), stream.next()).await;
    if silent.is_ok() {
        return Err("the stream ended with the connection".into());
    }
    proxy.heal().await;
    let health = || async { Ok(bench.call("health", json!({})).await.map(drop)?) };
    bench.eventually(Duration::from_secs(10), health).await?;
    // What was not settled before comes again.
    let again = next_item(&mut stream).await?.ok_or("the stream ended")?;
    let got = (&again["body"], &again["redelivered"]);
    expect_eq("what comes again", &got, &(&json!("before"), &json!(true)))?;
    super::settles_nothing(bench, &before["receipt"]).await?;
    settle(bench, "ack", &again).await?;
    publish(bench, &queue, json!("after")).await?;
    let after = next_item(&mut stream).await?.ok_or("the stream ended")?;
    expect_eq("what came after", &after["body"], &json!("after"))?;
    settle(bench, "ack", &after).await?;
    drop(stream);
    delete(bench, &queue).await
}

pub(super) async fn no_confirm(bench: &Bench) -> Outcome {
    let Some(proxy) = bench.server().proxy() else { return Ok(()) };
    let queue = declare(bench).await?;
    proxy.freeze().await;
    let cut = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.cut().await;
    };
    let (sent, ()) = tokio::join!(publish(bench, &queue, json!("lost")), cut);
    let error = expect_code(sent, Code::Unavailable)?;
    expect_eq("maybe_applied", &error.maybe_applied, &true)?;
    let error = expect_code(publish(bench, &queue, json!("not sent")).await, Code::Unavailable)?;
    expect_eq("maybe_applied while there is no connection", &error.maybe_applied, &false)?;
    proxy.heal().await;
    let publish_again = || async { Ok(publish(bench, &queue, json!("sent")).await.map(drop)?) };
    bench.eventually(Duration::from_secs(10), publish_again).await?;
    delete(bench, &queue).await
}
