//! How much the edge takes, how long it waits, and how it ends.
#![allow(clippy::unwrap_used)]

mod edge_support;

use chassis::config::units::{Size, Span};
use chassis::edge::Settings;
use edge_support::{Running, eventually, read, start};
use http_body_util::BodyExt;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Writes as it is, and reads until the edge closes the connection.
async fn raw(edge: &Running, text: &str) -> String {
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    // An edge that has heard enough answers and closes, whatever is still to be sent.
    let _ = stream.write_all(text.as_bytes()).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the connection stays open");
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_a_limit_announced_or_not() {
    let edge = start(Settings { body_limit: Size(1000), ..Settings::default() }).await;
    let input = |length: usize| format!("{{\"value\":\"{}\"}}", "x".repeat(length - 12));
    assert_eq!(edge.call("echo", &input(1000)).await.status, 200);
    let problem = edge.call("echo", &input(1001)).await.problem(413, "invalid_argument");
    assert_eq!(problem["limit"], 1000);
    edge.post("/v1/flows/say", &input(1001)).await.problem(413, "invalid_argument");

    let head = "POST /v1/instances/echo/echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", 600, "x".repeat(600));
    let answer =
        raw(&edge, &format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("application/problem+json"), "{answer}");
    // Told before the body is sent, to who asks.
    let answer = raw(&edge, &format!("{head}content-length: 1001\r\nexpect: 100-continue\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // The limit of an upload is for one line.
    let lines = "{\"n\":1}\n".repeat(1000);
    let kind = [("content-type", "application/x-ndjson")];
    assert_eq!(
        edge.send("POST", "/v1/instances/echo/sum", &kind, lines.as_bytes()).await.json(),
        json!({ "n": 1000 })
    );
    let line = format!("{{\"n\":{}1}}\n", " ".repeat(1000));
    edge.send("POST", "/v1/instances/echo/sum", &kind, line.as_bytes())
        .await
        .problem(413, "invalid_argument");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_left() {
    let short = Span::millis(300);
    let edge = start(Settings { header_timeout: short, body_timeout: short, ..Settings::default() }).await;
    let started = Instant::now();
    for head in ["", "POST /v1/inst", "GET /health HTTP/1.1\r\nhost: a\r\nx-slow: "] {
        assert!(!raw(&edge, head).await.contains("200 OK"), "{head}");
    }
    // The same for a connection that is idle after its first answer.
    let answer = raw(&edge, "GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(started.elapsed() > Duration::from_millis(1100));

    let head = "POST /v1/instances/echo/echo HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
    let answer = raw(&edge, &format!("{head}content-length: 20\r\n\r\n{{\"value\":")).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"code\":\"deadline_exceeded\""),
        "{answer}"
    );
    let head = head.replace("echo/echo", "echo/sum").replace("json", "x-ndjson");
    let answer = raw(&edge, &format!("{head}content-length: 20\r\n\r\n{{\"n\":1}}\n")).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_an_answer_keeps_no_place() {
    let short = Span::millis(300);
    let edge = start(Settings { write_timeout: short, connection_limit: 1, ..Settings::default() }).await;
    let mut deaf = TcpStream::connect(edge.address).await.unwrap();
    let head = "POST /v1/instances/echo/count HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
    let endless = r#"{"to": 9223372036854775807}"#;
    let request = format!("{head}content-length: {}\r\n\r\n{endless}", endless.len());
    deaf.write_all(request.as_bytes()).await.unwrap();
    let mut some = vec![0; 1 << 16];
    deaf.read_exact(&mut some).await.unwrap();
    assert!(some.starts_with(b"HTTP/1.1 200 OK"));
    assert_eq!(edge.get("/health/live").await.status, 503, "the only place is taken");
    eventually("the place is free", async || edge.get("/health/live").await.status == 200).await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_is_served_on() {
    let settings =
        Settings { write_timeout: Span::secs(5), body_limit: Size(64 << 20), ..Settings::default() };
    let edge = start(settings).await;
    // With room for little on its side, so that what it reads is soon seen on the other.
    let slow = TcpSocket::new_v4().unwrap();
    slow.set_recv_buffer_size(100_000).unwrap();
    let mut slow = slow.connect(edge.address).await.unwrap();
    // Its answer is there at once, and more than all buffers on the way take.
    let head =
        "POST /v1/instances/echo/echo_raw HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\n";
    slow.write_all(format!("{head}content-length: {}\r\n\r\n", 40 << 20).as_bytes()).await.unwrap();
    slow.write_all(&vec![b'x'; 40 << 20]).await.unwrap();
    // 50 kB a second, for more than twice as long as the edge waits for one who takes nothing.
    let mut some = vec![0; 5_000];
    for _ in 0..110 {
        slow.read_exact(&mut some).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Of one that was given up, what is in the buffers would still come.
    slow.read_exact(&mut vec![0; 30 << 20]).await.unwrap();
    drop(slow);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_client_should_send_is_refused_and_the_edge_goes_on() {
    let edge = start(Settings { body_limit: Size(100_000), ..Settings::default() }).await;
    let get = "GET /health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
    let post = "POST /v1/instances/echo/echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let many: String = (0..10_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let deep = format!("{{\"value\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let tiny = "1\r\n \r\n".repeat(100_001);
    for (what, request, status) in [
        ("10,000 headers", format!("{get}{many}\r\n"), 431),
        ("a huge header", format!("{get}x: {}\r\n\r\n", "y".repeat(1 << 20)), 431),
        ("a huge path", format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(100_000)), 414),
        ("a negative length", format!("{post}content-length: -1\r\n\r\n{{}}"), 400),
        ("two lengths", format!("{post}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"), 400),
        ("a length beyond all", format!("{post}content-length: 9223372036854775807\r\n\r\n"), 413),
        ("an unknown coding", format!("{post}transfer-encoding: gzip\r\n\r\n{{}}"), 400),
        ("no chunk", format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n"), 400),
        ("a chunk beyond all", format!("{post}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n"), 400),
        ("chunks of a byte", format!("{post}transfer-encoding: chunked\r\n\r\n{tiny}"), 413),
        ("10,000 lists", format!("{post}content-length: {}\r\n\r\n{deep}", deep.len()), 400),
        ("no HTTP", "\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), 400),
    ] {
        let answer = raw(&edge, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer:.300}");
    }
    for path in ["/v1/traces/%ff", "/v1/flows/%00%ff", "/v1/runs/%ff", "/v1/faults/%ff"] {
        let method = match path.split('/').nth(2) {
            Some("flows") => "POST",
            Some("faults") => "DELETE",
            _ => "GET",
        };
        edge.send(method, path, &[], b"").await.problem(400, "invalid_argument");
    }
    let pipelined = format!("{}{get}\r\n", "GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n".repeat(200));
    assert_eq!(raw(&edge, &pipelined).await.matches("HTTP/1.1 200 ").count(), 201);
    assert_eq!(edge.call("echo", r#"{"value":1}"#).await.status, 200);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_leaves_those_that_are_there_alone() {
    let edge = start(Settings { connection_limit: 2, ..Settings::default() }).await;
    let mut first = edge.connect().await;
    let second = edge.connect().await;
    let live = || edge_support::request("GET", "/health/live", &[], b"");
    assert_eq!(read(first.send_request(live()).await.unwrap()).await.status, 200);
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(TcpStream::connect(edge.address).await.unwrap());
    }
    // Some are told, the others closed; no one is served, and no one waits for long.
    for stream in &mut flood {
        let _ = stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "a connection beyond the limit stays open");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 503 "), "{answer:?}");
    }
    assert_eq!(read(first.send_request(live()).await.unwrap()).await.status, 200);
    drop((flood, second));
    eventually("a place is free", async || edge.get("/health/live").await.status == 200).await;
    drop(first);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_turned_away() {
    let edge = start(Settings { connection_limit: 2, ..Settings::default() }).await;
    let mut first = edge.connect().await;
    let second = edge.connect().await;
    let answer =
        read(first.send_request(edge_support::request("GET", "/health/live", &[], b"")).await.unwrap()).await;
    assert_eq!(answer.status, 200);
    let answer = edge.call("echo", r#"{"value":1}"#).await;
    let problem = answer.problem(503, "unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("all 2 connections"), "{problem}");
    assert_eq!((answer.header("retry-after"), answer.header("connection")), ("1", "close"));
    assert_eq!(problem["retryable"], true);
    drop(second);
    eventually("a place is free", async || edge.call("echo", r#"{"value":1}"#).await.status == 200).await;
    drop(first);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_finished_and_nothing_begun() {
    let edge = start(Settings { stream_grace: Span::millis(300), ..Settings::default() }).await;
    assert_eq!(edge.get("/health/ready").await.json(), json!({ "status": "ready" }));
    edge.edge.set_ready(false);
    let answer = edge.get("/health/ready").await;
    answer.problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(edge.get("/health/live").await.status, 200);

    let json = [("content-type", "application/json")];
    let endless = br#"{"to": 9223372036854775807}"#;
    let mut stream = edge.open("POST", "/v1/instances/echo/count", &json, endless).await.into_body();
    let reading = tokio::spawn(async move {
        let mut last = Vec::new();
        while let Some(frame) = stream.frame().await {
            last = frame.unwrap().into_data().unwrap().to_vec();
        }
        last
    });
    let mut connection = edge.connect().await;
    let sleep = edge_support::request("POST", "/v1/instances/echo/sleep", &json, br#"{"ms": 600}"#);
    let sleeping = tokio::spawn(async move { read(connection.send_request(sleep).await.unwrap()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    edge.shutdown.cancel();
    eventually("new connections are refused", async || TcpStream::connect(edge.address).await.is_err()).await;
    assert!(!edge.served.is_finished(), "calls are under way");

    let answer = sleeping.await.unwrap();
    assert_eq!((answer.status, answer.json()), (200, json!({ "ms": 600 })));
    // A stream without an end is ended, and says so.
    let last = String::from_utf8(reading.await.unwrap()).unwrap();
    let line: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!((&line["error"]["code"], &line["error"]["retryable"]), (&json!("unavailable"), &json!(true)));
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_dropped_cancels_what_is_left() {
    let edge = start(Settings::default()).await;
    let mut connection = edge.connect().await;
    let json = [("content-type", "application/json")];
    let sleep = edge_support::request("POST", "/v1/instances/echo/sleep", &json, br#"{"ms": 60000}"#);
    let sleeping = tokio::spawn(async move { connection.send_request(sleep).await.map(|_| ()) });
    tokio::time::sleep(Duration::from_millis(100)).await;
    edge.served.abort();
    let ended =
        tokio::time::timeout(Duration::from_secs(5), sleeping).await.expect("the connection is closed");
    assert!(ended.unwrap().is_err());
}
