//! The plugin in C, driven: what `chassis.h` says is enough for a plugin.

#![allow(clippy::unwrap_used, reason = "a test says with it what must hold")]

mod support;

use chassis_loader::{Code, Level, Plugin, create};
use futures_util::future::join_all;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Host, answer, call, counter, instance, value};
use tempfile::TempDir;

fn loaded() -> Option<(TempDir, Arc<Plugin>)> {
    let dir = TempDir::new().unwrap();
    let plugin = counter(&dir)?;
    Some((dir, plugin))
}

#[tokio::test]
async fn it_counts() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    assert_eq!(answer(&instance, "add", json!({"key": "a"})).await.unwrap(), json!({"value": 1}));
    assert_eq!(answer(&instance, "add", json!({"key": "a", "by": 41})).await.unwrap(), json!({"value": 42}));
    assert_eq!(answer(&instance, "add", json!({"key": "b", "by": -2})).await.unwrap(), json!({"value": -2}));
    assert_eq!(answer(&instance, "health", json!({})).await.unwrap()["server_version"], "0.1.0");
}

#[tokio::test]
async fn a_wrong_input_names_its_field() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let error = answer(&instance, "add", json!({"by": 1})).await.unwrap_err();
    assert_eq!((error.code, error.field.as_deref()), (Code::InvalidArgument, Some("key")));
    assert!(!error.retryable && !error.maybe_applied);
}

#[tokio::test]
async fn a_wrong_configuration_names_its_field() {
    let Some((_dir, plugin)) = loaded() else { return };
    let error = create(&plugin, "wrong", &json!({"start": "x"}), Host::new()).err().unwrap();
    assert_eq!((error.code, error.field.as_deref()), (Code::InvalidArgument, Some("start")));
}

#[tokio::test]
async fn it_logs_through_the_host() {
    let Some((_dir, plugin)) = loaded() else { return };
    let host = Host::new();
    let _instance = create(&plugin, "logs", &json!({"start": 7}), Arc::clone(&host) as _).unwrap();
    let lines = host.lines.lock().unwrap();
    assert_eq!(*lines, [(Level::Debug, "counter opened".to_owned(), Some(json!({"language": "c"})))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_thread_wakes_the_call() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let begun = Instant::now();
    let sleeps = (0..64).map(|_| answer(&instance, "sleep", json!({"ms": 100})));
    assert!(join_all(sleeps).await.into_iter().all(|slept| slept.is_ok()));
    assert!(begun.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn dropping_a_call_ends_its_thread() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let mut sleep = Box::pin(instance.call(call(&plugin, "sleep", json!({"ms": 60_000}))));
    assert!(futures_util::poll!(&mut sleep).is_pending());
    drop(sleep);
    let gone = instance.destroyed();
    drop(instance);
    tokio::time::timeout(Duration::from_secs(5), gone.wait()).await.unwrap();
}

#[tokio::test]
async fn a_stream_yields_what_was_granted() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let reply = instance.call(call(&plugin, "count_up", json!({"to": 5}))).await.unwrap();
    let mut items = reply.stream.unwrap();
    assert!(futures_util::poll!(Box::pin(items.next())).is_pending());
    items.grant(2);
    for n in 1..=2 {
        assert_eq!(value(&items.next().await.unwrap().unwrap()), json!({"n": n}));
    }
    assert!(futures_util::poll!(Box::pin(items.next())).is_pending());
    items.grant(9);
    for n in 3..=5 {
        assert_eq!(value(&items.next().await.unwrap().unwrap()), json!({"n": n}));
    }
    assert!(items.next().await.is_none());
    assert!(items.next().await.is_none());
}

/// The stream takes the call's memory and the instance along.
#[tokio::test]
async fn a_stream_outlives_the_instance_it_came_from() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let gone = instance.destroyed();
    let reply = instance.call(call(&plugin, "count_up", json!({"to": 100}))).await.unwrap();
    drop(instance);
    let mut items = reply.stream.unwrap().with_window(3);
    let mut seen = 0;
    while let Some(item) = items.next().await {
        seen += 1;
        assert_eq!(value(&item.unwrap()), json!({"n": seen}));
    }
    assert_eq!(seen, 100);
    drop(items);
    tokio::time::timeout(Duration::from_secs(5), gone.wait()).await.unwrap();
}

#[tokio::test]
async fn an_unknown_operation_does_not_cross() {
    let Some((_dir, plugin)) = loaded() else { return };
    let error = instance(&plugin).call(chassis_loader::Call::new(99, "{}")).await.unwrap_err();
    assert_eq!(error.code, Code::Unimplemented);
}

#[tokio::test]
async fn a_closed_instance_takes_no_call() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    instance.close().await.unwrap();
    let error = answer(&instance, "health", json!({})).await.unwrap_err();
    assert_eq!((error.code, error.retryable), (Code::Unavailable, true));
}
