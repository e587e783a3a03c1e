//! An instance that is made again after a panic.

#![allow(clippy::unwrap_used, reason = "a test says with it what must hold")]

mod support;

use chassis_loader::{Code, Supervised};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Host, call, echo};
use tempfile::TempDir;

async fn panic(supervised: &Supervised) {
    let error = supervised.call(call(supervised.plugin(), "panic", json!({}))).await.unwrap_err();
    assert_eq!(error.code, Code::Internal);
}

async fn back(supervised: &Supervised) -> Duration {
    let begun = Instant::now();
    while supervised.down().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not come back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_made_again_with_back_off() {
    let dir = TempDir::new().unwrap();
    let Some(plugin) = echo(&dir) else { return };
    let host = Host::new();
    let supervised = Supervised::new(plugin, "again", json!({}), Arc::clone(&host) as _).unwrap();
    let health = || supervised.call(call(supervised.plugin(), "health", json!({})));
    assert!(health().await.is_ok());

    panic(&supervised).await;
    let refused = health().await.unwrap_err();
    assert_eq!((refused.code, refused.retryable), (Code::Unavailable, true));
    assert!(refused.causes[0].contains("panic:"), "{:?}", refused.causes);
    assert_eq!(refused.retry_after, Some(Duration::from_millis(100)));
    assert!(back(&supervised).await >= Duration::from_millis(80));
    assert!(health().await.is_ok());
    assert_eq!(supervised.recreations(), 1);
    assert!(host.said("will be made again") && host.said("instance made again"));

    panic(&supervised).await;
    assert_eq!(supervised.down().unwrap().retry_after, Some(Duration::from_millis(200)));
    assert!(back(&supervised).await >= Duration::from_millis(180));
    assert_eq!(supervised.recreations(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_go_on_in_the_spoilt_instance() {
    let dir = TempDir::new().unwrap();
    let Some(plugin) = echo(&dir) else { return };
    let supervised = Supervised::new(plugin, "again", json!({}), Host::new()).unwrap();
    let mut sleep = Box::pin(supervised.call(call(supervised.plugin(), "sleep", json!({"ms": 60_000}))));
    assert!(futures_util::poll!(&mut sleep).is_pending());
    panic(&supervised).await;
    back(&supervised).await;
    // Whatever the old instance does with it: it still ends by being dropped, and the new one works.
    drop(sleep);
    assert!(supervised.call(call(supervised.plugin(), "health", json!({}))).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_panics_spoils_the_instance_as_a_call_does() {
    let dir = TempDir::new().unwrap();
    let Some(plugin) = echo(&dir) else { return };
    let host = Host::new();
    let supervised = Supervised::new(plugin, "task", json!({}), Arc::clone(&host) as _).unwrap();
    supervised.call(call(supervised.plugin(), "panic_in_task", json!({}))).await.unwrap();
    // The next call that meets the spoilt instance tells the host, which makes another.
    let begun = Instant::now();
    while supervised.recreations() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is not made again");
        let _ = supervised.call(call(supervised.plugin(), "health", json!({}))).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    back(&supervised).await;
    assert!(supervised.call(call(supervised.plugin(), "health", json!({}))).await.is_ok());
    assert!(host.said("a task of the instance panicked"));
    let told =
        |fields: &Option<Value>| fields.as_ref().is_some_and(|at| at["panic"] == "asked to, in a task");
    assert!(host.lines.lock().unwrap().iter().any(|(_, _, fields)| told(fields)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_one_stays_closed() {
    let dir = TempDir::new().unwrap();
    let Some(plugin) = echo(&dir) else { return };
    let supervised = Supervised::new(plugin, "closed", json!({}), Host::new()).unwrap();
    panic(&supervised).await;
    supervised.close().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let error = supervised.call(call(supervised.plugin(), "health", json!({}))).await.unwrap_err();
    assert_eq!((error.code, error.retryable), (Code::Unavailable, false));
    assert_eq!(supervised.recreations(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_refused_is_not_tried_again() {
    let dir = TempDir::new().unwrap();
    let Some(plugin) = echo(&dir) else { return };
    let error = Supervised::new(plugin, "wrong", json!({"prefx": ""}), Host::new()).err().unwrap();
    assert_eq!(error.code, Code::InvalidArgument);
}
