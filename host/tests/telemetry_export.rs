//! What happens when the collector does not: calls go on, and what is lost is counted.

// Helpers of tests are not seen as tests, and fail by panicking as those do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod telemetry {
    pub mod prometheus;
}

use chassis::telemetry::{Config, Telemetry};
use opentelemetry::trace::{SpanContext, SpanKind};
use std::collections::BTreeMap;
use std::net::TcpListener;
use telemetry::prometheus::value_of;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_for_a_collector_that_is_down_are_counted_and_kept_in_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let telemetry = start(endpoint);
    assert_eq!(dropped(&telemetry), 0.0);
    let last = spans(&telemetry, 10);
    telemetry.flush().await;
    assert_eq!(dropped(&telemetry), 10.0);
    assert!(telemetry.trace(&last).is_some());
    telemetry.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_makes_nobody_wait() {
    // Connections are accepted by the system, and nobody ever reads from them.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let telemetry = start(format!("http://{}", listener.local_addr().unwrap()));
    let last = spans(&telemetry, 20_000);
    // At most the queue (2,048) and the batch on its way (512) wait; the others are gone.
    let dropped = dropped(&telemetry);
    assert!((17_000.0..20_000.0).contains(&dropped), "{dropped} of 20,000 were dropped");
    assert!(telemetry.trace(&last).is_some());
    // Gives up after a few seconds, or this test does not end.
    telemetry.shutdown().await;
}

fn start(endpoint: String) -> Telemetry {
    Telemetry::start(&Config { otlp_endpoint: Some(endpoint), ..Config::default() }).unwrap()
}

/// Makes spans, and answers the trace of the last one.
fn spans(telemetry: &Telemetry, count: usize) -> String {
    let mut last = String::new();
    for _ in 0..count {
        let span = telemetry.span("work", SpanKind::Internal, &SpanContext::NONE, []);
        last = span.context().trace_id().to_string();
    }
    last
}

fn dropped(telemetry: &Telemetry) -> f64 {
    value_of(&telemetry.prometheus(), "chassis_spans_dropped_total", &BTreeMap::new()).unwrap()
}
