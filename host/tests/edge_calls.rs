//! Calls over HTTP: JSON, attachments, streams, uploads, and what comes along with them.
#![allow(clippy::unwrap_used)]

mod edge_support;

use chassis::config::units::Span;
use chassis::edge::Settings;
use edge_support::{eventually, read, request, start};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn json_goes_in_and_out() {
    let edge = start(Settings::default()).await;
    let answer = edge.call("echo", r#"{"value": {"a": [1, "é"]}}"#).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.json(), json!({ "value": { "a": [1, "é"] } }));
    answer.trace_id();
    // No body is the empty input.
    let answer = edge.send("POST", "/v1/instances/echo/cancelled", &[], b"").await;
    assert_eq!(answer.json(), json!({ "n": 0 }));
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_serves_many_calls() {
    let edge = start(Settings::default()).await;
    let mut connection = edge.connect().await;
    for n in 0..20 {
        let body = format!(r#"{{"value":{n}}}"#);
        let path = "/v1/instances/echo/echo";
        let request = request("POST", path, &[("content-type", "application/json")], body.as_bytes());
        connection.ready().await.unwrap();
        assert_eq!(read(connection.send_request(request).await.unwrap()).await.json()["value"], n);
    }
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_are_the_body() {
    let edge = start(Settings::default()).await;
    let path = "/v1/instances/echo/echo_raw";
    let raw: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let headers = [("content-type", "application/octet-stream"), ("x-chassis-input", "{}")];
    let answer = edge.send("POST", path, &headers, &raw).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/octet-stream"));
    assert_eq!(answer.header("x-chassis-output"), "{}");
    assert_eq!(answer.body, raw);
    // Who wants JSON alone gets the output without the attachment.
    let answer = edge.send("POST", path, &[headers[0], ("accept", "application/json")], &raw).await;
    assert_eq!((answer.header("content-type"), answer.json()), ("application/json", json!({})));
    // An operation of bytes alone takes no input.
    let answer = edge.send("POST", "/v1/instances/echo/echo_bytes", &headers[..1], &raw).await;
    assert!(answer.status == 200 && answer.body == raw && !answer.headers.contains_key("x-chassis-output"));
    // An input that is wrong is told by the plugin, wherever it came from.
    let answer = edge.send("POST", path, &[headers[0], ("x-chassis-input", "{\"no\":1}")], &raw).await;
    answer.problem(400, "invalid_argument");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_lines_with_an_end() {
    let edge = start(Settings::default()).await;
    let answer = edge.call("count", r#"{"to": 1000}"#).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"));
    answer.trace_id();
    let lines = answer.lines();
    assert_eq!(lines.len(), 1001);
    assert!((0..1000).all(|at| lines[at] == json!({ "item": { "n": at + 1 } })));
    assert_eq!(lines[1000], json!({ "end": true }));

    let answer = edge.call("count", r#"{"to": 2, "fail": true}"#).await;
    let lines = answer.lines();
    assert_eq!((answer.status, lines.len()), (200, 3));
    let error = &lines[2]["error"];
    assert_eq!((&error["code"], &error["trace_id"]), (&json!("unavailable"), &json!(answer.trace_id())));
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_everything_and_one_that_leaves_ends_the_stream() {
    let edge = start(Settings::default()).await;
    let headers = [("content-type", "application/json")];
    let mut body =
        edge.open("POST", "/v1/instances/echo/count", &headers, br#"{"to": 200000}"#).await.into_body();
    let mut received = Vec::new();
    while let Some(frame) = body.frame().await {
        received.extend_from_slice(&frame.unwrap().into_data().unwrap());
        if received.len() % 7 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let lines: Vec<&[u8]> = received.split(|&byte| byte == b'\n').collect();
    assert_eq!(lines.len(), 200_002);
    assert_eq!((lines[199_999], lines[200_000]), (&b"{\"item\":{\"n\":200000}}"[..], &b"{\"end\":true}"[..]));

    // Without an end in sight: nobody reads, then nobody is there. The span ends when the call is dropped.
    let endless =
        edge.open("POST", "/v1/instances/echo/count", &headers, br#"{"to": 9223372036854775807}"#).await;
    let trace = format!("/v1/traces/{}", endless.headers()["x-trace-id"].to_str().unwrap());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(edge.get(&trace).await.status, 404, "the call still runs");
    drop(endless);
    eventually("the stream is dropped with its client", async || edge.get(&trace).await.status == 200).await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_lines() {
    let edge = start(Settings::default()).await;
    let path = "/v1/instances/echo/sum";
    let lines: String = (1..=1000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let headers = [("content-type", "application/x-ndjson")];
    assert_eq!(edge.send("POST", path, &headers, lines.as_bytes()).await.json(), json!({ "n": 500_500 }));
    // Empty lines and a missing last line break do no harm.
    assert_eq!(edge.send("POST", path, &headers, b"{\"n\":1}\n\n{\"n\":2}").await.json(), json!({ "n": 3 }));
    assert_eq!(edge.send("POST", path, &headers, b"").await.json(), json!({ "n": 0 }));
    edge.send("POST", path, &headers, b"{\"n\":1}\n{broken\n").await.problem(400, "invalid_argument");
    edge.call("sum", "{}").await.problem(415, "invalid_argument");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_gone_cancels_its_call() {
    let edge = start(Settings::default()).await;
    let mut connection = edge.connect().await;
    let headers = [("content-type", "application/json")];
    let call = request("POST", "/v1/instances/echo/sleep", &headers, br#"{"ms": 60000}"#);
    let waiting = tokio::time::timeout(Duration::from_millis(200), connection.send_request(call)).await;
    assert!(waiting.is_err());
    drop(connection);
    eventually("the sleep is dropped", async || edge.call("cancelled", "{}").await.json()["n"] == 1).await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn context_reaches_the_plugin() {
    let edge = start(Settings::default()).await;
    let headers = [
        ("content-type", "application/json"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "vendor=1"),
        ("idempotency-key", "\"order-1\""),
        ("x-tenant", "acme"),
        ("x-request-timeout", "5s"),
    ];
    let answer = edge.send("POST", "/v1/instances/echo/context", &headers, b"{}").await;
    let seen = answer.json();
    assert_eq!(answer.trace_id(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(
        (&seen["idempotency_key"], &seen["tenant"], &seen["tracestate"]),
        (&json!("order-1"), &json!("acme"), &json!("vendor=1"))
    );
    let remaining = seen["remaining_ms"].as_u64().unwrap();
    assert!((1..=5000).contains(&remaining), "{remaining}");
    // The caller's trace goes on, below the edge's own span.
    let traceparent = seen["traceparent"].as_str().unwrap();
    assert!(
        traceparent.starts_with("00-0af7651916cd43dd8448eb211c80319c-")
            && !traceparent.contains("b7ad6b7169203331")
    );

    let trace = edge.get("/v1/traces/0af7651916cd43dd8448eb211c80319c").await.json();
    let span = trace["spans"].as_array().unwrap().iter().find(|span| span["kind"] == "server").unwrap();
    assert_eq!(span["name"], "POST /v1/instances/{instance}/{operation}");
    assert_eq!(span["parent_id"], "b7ad6b7169203331");
    assert_eq!(span["attributes"]["http.route"], "/v1/instances/{instance}/{operation}");
    assert_eq!(span["attributes"]["http.response.status_code"], 200);
    assert_eq!(span["error"], Value::Null);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_deadline_ends_the_call() {
    let edge = start(Settings { body_timeout: Span::secs(1), ..Settings::default() }).await;
    let headers = [("content-type", "application/json"), ("x-request-timeout", "50ms")];
    let answer = edge.send("POST", "/v1/instances/echo/sleep", &headers, br#"{"ms": 60000}"#).await;
    answer.problem(504, "deadline_exceeded");
    let trace = edge.get(&format!("/v1/traces/{}", answer.trace_id())).await.json();
    assert_eq!(trace["spans"][0]["attributes"]["error.type"], "504");
    edge.stop().await;
}
