//! What goes wrong is said as a problem document, with a trace id, whatever it is.
#![allow(clippy::unwrap_used)]

mod edge_support;

use chassis::edge::Settings;
use edge_support::start;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn unknown_names_are_told_with_the_nearest() {
    let edge = start(Settings::default()).await;
    for (path, code, nearest) in [
        ("/v1/instances/ecko/echo", "not_found", "echo"),
        ("/v1/instances/echo/slep", "unimplemented", "sleep"),
        ("/v1/flows/sey", "not_found", "say"),
    ] {
        assert_eq!(edge.post(path, "{}").await.problem(404, code)["nearest"], nearest);
    }
    for path in ["/v1/plugin", "/v2", "/health/life", "/v1/instances/a/b/c", "/v1/instances/echo/", "/%ff"] {
        edge.get(path).await.problem(404, "not_found");
    }
    assert_eq!(edge.get("/health/life").await.problem(404, "not_found")["nearest"], "/health/live");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_methods_are_told_the_right_one() {
    let edge = start(Settings::default()).await;
    let answer = edge.get("/v1/instances/echo/echo").await;
    answer.problem(405, "unimplemented");
    assert_eq!(answer.header("allow"), "POST");
    let answer = edge.post("/v1/plugins", "{}").await;
    answer.problem(405, "unimplemented");
    assert_eq!(answer.header("allow"), "GET,HEAD");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bodies_are_the_callers_fault() {
    let edge = start(Settings::default()).await;
    let operation = "/v1/instances/echo/echo";
    for input in ["{", "", "[]", "null", r#"{"value":1}{"#, "{\"value\":\"\u{0}\"}"] {
        edge.call("echo", input).await.problem(400, "invalid_argument");
    }
    edge.call("echo", r#"{"valu": 1}"#).await.problem(400, "invalid_argument");
    assert_eq!(edge.call("sleep", r#"{"ms": "long"}"#).await.problem(400, "invalid_argument")["field"], "ms");
    for (kind, body) in [
        ("application/x-www-form-urlencoded", "value=1"),
        ("text/plain", "{}"),
        ("application/octet-stream", "1"),
    ] {
        let problem = edge
            .send("POST", operation, &[("content-type", kind)], body.as_bytes())
            .await
            .problem(415, "invalid_argument");
        assert_eq!(problem["field"], "content-type");
        assert!(problem["detail"].as_str().unwrap().contains(kind), "{problem}");
    }
    edge.send("POST", operation, &[], b"{}").await.problem(415, "invalid_argument");
    let flow = "/v1/flows/say";
    edge.post(flow, "{").await.problem(400, "invalid_argument");
    edge.send("POST", flow, &[("content-type", "text/plain")], b"{}").await.problem(415, "invalid_argument");
    assert_eq!(edge.post(flow, r#"{"text": 1}"#).await.problem(400, "invalid_argument")["field"], "text");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_headers_are_named() {
    let edge = start(Settings::default()).await;
    for (name, value) in [("x-request-timeout", "soon"), ("idempotency-key", ""), ("x-tenant", "")] {
        let headers = [("content-type", "application/json"), (name, value)];
        for path in ["/v1/instances/echo/context", "/v1/flows/say"] {
            let problem =
                edge.send("POST", path, &headers, br#"{"text":"a"}"#).await.problem(400, "invalid_argument");
            assert_eq!(problem["field"], name);
        }
    }
    // Of two keys neither is the one that is meant.
    let twice = [("content-type", "application/json"), ("idempotency-key", "a"), ("idempotency-key", "b")];
    let problem =
        edge.send("POST", "/v1/flows/say", &twice, br#"{"text":"a"}"#).await.problem(400, "invalid_argument");
    assert_eq!(problem["field"], "idempotency-key");
    // A trace context that cannot be read starts a new trace, as the specification wants it.
    let headers = [("content-type", "application/json"), ("traceparent", "00-zz")];
    let answer = edge.send("POST", "/v1/instances/echo/context", &headers, b"{}").await;
    assert_eq!(answer.status, 200);
    assert_eq!(&answer.json()["traceparent"].as_str().unwrap()[3..35], answer.trace_id());
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_answer_their_output_or_why_not() {
    let edge = start(Settings::default()).await;
    let answer = edge.post("/v1/flows/say", r#"{"text": "hello"}"#).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "said": "hello" })));
    assert!(!answer.header("x-chassis-run").is_empty());
    let trace = edge.get(&format!("/v1/traces/{}", answer.trace_id())).await.json();
    let names: Vec<_> = trace["spans"].as_array().unwrap().iter().map(|span| span["name"].clone()).collect();
    assert_eq!(names[0], "POST /v1/flows/{flow}");
    assert!(names.contains(&json!("flow say")), "{names:?}");

    let problem = edge.post("/v1/flows/break", r#"{"text": "hello"}"#).await.problem(500, "internal");
    let run = &problem["run"];
    assert_eq!((&run["flow"], &run["failed_step"]), (&json!("break"), &json!("said")));
    assert_eq!(run["steps"][0]["name"], "said");
    edge.stop().await;
}
