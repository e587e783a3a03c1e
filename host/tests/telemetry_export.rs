//! What happens when the collector does not: calls go on, and what is lost is counted.

// Helpers of tests are not seen as tests, and fail by panicking as those do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod process_support;
mod telemetry {
    pub mod prometheus;
    pub mod receiver;
}

use chassis::app::App;
use chassis::config::{Config, Source};
use chassis::request::Request;
use chassis::telemetry::{self as host_telemetry, Telemetry};
use opentelemetry::trace::{SpanContext, SpanKind};
use opentelemetry_proto::tonic::trace::v1::Span;
use process_support::House;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;
use telemetry::prometheus::value_of;
use telemetry::receiver::Received;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_collector_comes_back_so_do_the_traces() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let telemetry = start(format!("http://{address}"));
    spans(&telemetry, 10);
    telemetry.flush().await;
    assert_eq!((exported(&telemetry), dropped(&telemetry)), (0.0, 10.0));
    let received = Received::listen(tokio::net::TcpListener::bind(address).await.unwrap());
    // The connection is tried again after a while of its own; what is sent before is lost, and counted.
    let mut sent = 10.0;
    while exported(&telemetry) == 0.0 {
        assert!(sent < 500.0, "nothing comes through");
        spans(&telemetry, 1);
        sent += 1.0;
        telemetry.flush().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let last = spans(&telemetry, 5);
    telemetry.flush().await;
    assert_eq!(exported(&telemetry) + dropped(&telemetry), sent + 5.0, "each is counted once");
    assert_eq!(received.spans().len() as f64, exported(&telemetry), "what counts as exported is there");
    let trace = |span: &Span| span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(received.spans().iter().any(|span| trace(span) == last));
    telemetry.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_when_the_queue_is_full_and_a_silent_collector_holds_it() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let house = House::new("");
    house.write(
        "host.toml",
        &format!(
            "plugins_dir = {:?}\nflows_dir = {:?}\n[journal]\nurl = \"memory\"\n[telemetry]\nlog = \"off\"\n\
             otlp_endpoint = \"http://{}\"\notlp_spans_per_second = 0\n[roles]\nvoice = \"echo\"\n[instances.echo]\nplugin = \"echo\"\n",
            house.path("plugins"),
            house.path("flows"),
            silent.local_addr().unwrap()
        ),
    );
    let app = App::start(Config::load(&Source::File(house.path("host.toml"))).unwrap()).await.unwrap();
    // The queue and the batch on its way are full after 2,560: from then on every span is one too many.
    for n in 0..4_000 {
        app.registry.call("echo", "echo", Request::of(&json!({ "value": n }))).await.unwrap();
    }
    let before = dropped(&app.telemetry);
    assert!(before > 1_000.0, "{before} were dropped");
    for n in 0..1_000 {
        app.registry.call("echo", "echo", Request::of(&json!({ "value": n }))).await.unwrap();
    }
    assert_eq!(dropped(&app.telemetry) - before, 1_000.0, "each call ended, and each span was counted");
    assert_eq!(exported(&app.telemetry), 0.0);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_sent_than_the_configuration_allows_and_the_rest_is_counted() {
    let (received, endpoint) = Received::start().await;
    let config = |per_second| host_telemetry::Config {
        otlp_endpoint: Some(endpoint.clone()),
        otlp_spans_per_second: per_second,
        ..Default::default()
    };
    let telemetry = Telemetry::start(&config(50)).unwrap();
    let last = spans(&telemetry, 1_000);
    telemetry.flush().await;
    let sent = exported(&telemetry);
    // Five in each tenth of a second; how many of those it took is the machine's business.
    assert!((5.0..500.0).contains(&sent), "{sent} were sent");
    assert_eq!(sent + dropped(&telemetry), 1_000.0, "each is counted once");
    assert_eq!(received.spans().len() as f64, sent);
    assert!(telemetry.trace(&last).is_some(), "in memory are all");
    telemetry.shutdown().await;
    let telemetry = Telemetry::start(&config(0)).unwrap();
    spans(&telemetry, 1_000);
    telemetry.flush().await;
    assert_eq!(exported(&telemetry), 1_000.0, "0 is no limit");
    telemetry.shutdown().await;
}

fn start(endpoint: String) -> Telemetry {
    Telemetry::start(&host_telemetry::Config { otlp_endpoint: Some(endpoint), ..Default::default() }).unwrap()
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

fn exported(telemetry: &Telemetry) -> f64 {
    value_of(&telemetry.prometheus(), "chassis_spans_exported_total", &BTreeMap::new()).unwrap()
}
