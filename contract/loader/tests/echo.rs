//! The plugin in Rust, driven: what the SDK makes and what the loader makes of it fit together.

#![allow(clippy::unwrap_used, reason = "a test says with it what must hold")]

mod support;

use chassis_loader::{Bytes, Call, CallError, Code, Plugin, Upload, UploadClosed, create, inspect, load};
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use support::{Host, answer, call, echo, echo_path, instance, operation, options, value};
use tempfile::TempDir;

fn loaded() -> Option<(TempDir, Arc<Plugin>)> {
    let dir = TempDir::new().unwrap();
    let plugin = echo(&dir)?;
    Some((dir, plugin))
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_get_their_own_answers() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let answers = join_all((0..64).map(|n| answer(&instance, "echo", json!({"value": n})))).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), json!({"value": n}));
    }
}

#[tokio::test]
async fn raw_bytes_come_back_without_a_copy() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let sent: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let echo = Call { raw: sent.clone().into(), ..call(&plugin, "echo_raw", json!({})) };
    let reply = instance.call(echo).await.unwrap();
    let plugins_own = reply.raw().as_ptr();
    let (_, raw) = reply.into_bytes();
    assert_eq!((raw.as_ptr(), &raw[..]), (plugins_own, &sent[..]));
}

#[tokio::test]
async fn context_crosses() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let full = Call {
        traceparent: Some(parent.into()),
        tracestate: Some("a=b".into()),
        idempotency_key: Some("key-1".into()),
        tenant: Some("acme".into()),
        deadline: Some(SystemTime::now() + Duration::from_secs(10)),
        ..call(&plugin, "context", json!({}))
    };
    let seen = value(&instance.call(full).await.unwrap());
    assert_eq!(seen["traceparent"], parent);
    assert_eq!((&seen["tracestate"], &seen["idempotency_key"]), (&json!("a=b"), &json!("key-1")));
    assert_eq!((&seen["tenant"], &seen["instance"]), (&json!("acme"), &json!("under-test")));
    assert!((9_000..=10_000).contains(&seen["remaining_ms"].as_u64().unwrap()));
    let none = answer(&instance, "context", json!({})).await.unwrap();
    for field in ["traceparent", "tracestate", "idempotency_key", "tenant", "remaining_ms"] {
        assert_eq!(none[field], Value::Null, "{field}");
    }
}

#[tokio::test]
async fn dropping_a_call_cancels_it() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let sleep = instance.call(call(&plugin, "sleep", json!({"ms": 60_000})));
    assert!(tokio::time::timeout(Duration::from_millis(20), sleep).await.is_err());
    assert_eq!(answer(&instance, "cancelled", json!({})).await.unwrap(), json!({"n": 1}));
}

#[tokio::test]
async fn a_call_that_was_never_polled_never_began() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    drop(instance.call(call(&plugin, "panic", json!({}))));
    assert!(answer(&instance, "health", json!({})).await.is_ok());
}

#[tokio::test]
async fn a_stream_is_paid_for_item_by_item() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let reply = instance.call(call(&plugin, "count", json!({"to": 1000, "fail": true}))).await.unwrap();
    let mut items = reply.stream.unwrap().with_window(16);
    for n in 1..=1000 {
        assert_eq!(value(&items.next().await.unwrap().unwrap()), json!({"n": n}));
    }
    let error = StreamExt::next(&mut items).await.unwrap().unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert!(items.next().await.is_none());
}

#[tokio::test]
async fn an_upload_waits_for_credit_and_is_added_up() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let (mut sender, upload) = Upload::channel();
    let sum = Call { upload: Some(upload), ..call(&plugin, "sum", json!({})) };
    let items = async move {
        for n in 1..=100 {
            sender.send(json!({"n": n}).to_string().into(), Bytes::new()).await.unwrap();
        }
        sender.finish();
    };
    let (reply, ()) = tokio::join!(instance.call(sum), items);
    assert_eq!(value(&reply.unwrap()), json!({"n": 5050}));
}

#[tokio::test]
async fn half_an_upload_is_not_a_whole_one() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let (mut sender, upload) = Upload::channel();
    let sum = Call { upload: Some(upload), ..call(&plugin, "sum", json!({})) };
    let items = async move { sender.send(json!({"n": 1}).to_string().into(), Bytes::new()).await };
    let (reply, _) = tokio::join!(instance.call(sum), items);
    assert_eq!(reply.unwrap_err().code, Code::Cancelled);

    let (sender, upload) = Upload::channel();
    let sum = Call { upload: Some(upload), ..call(&plugin, "sum", json!({})) };
    sender.fail(CallError::new(Code::ResourceExhausted, "the disk is full"));
    assert_eq!(instance.call(sum).await.unwrap_err().code, Code::ResourceExhausted);
}

#[tokio::test]
async fn an_upload_to_a_dropped_call_ends() {
    let Some((_dir, plugin)) = loaded() else { return };
    let instance = instance(&plugin);
    let (mut sender, upload) = Upload::channel();
    let mut sum = Box::pin(instance.call(Call { upload: Some(upload), ..call(&plugin, "sum", json!({})) }));
    assert!(futures_util::poll!(&mut sum).is_pending());
    drop(sum);
    sender.closed().await;
    assert_eq!(sender.send(Bytes::from_static(b"{\"n\":1}"), Bytes::new()).await, Err(UploadClosed));

    let (_, upload) = Upload::channel();
    let wrong = Call { upload: Some(upload), ..Call::new(operation(&plugin, "echo"), r#"{"value":1}"#) };
    assert_eq!(instance.call(wrong).await.unwrap_err().code, Code::InvalidArgument);
}

#[tokio::test]
async fn a_panic_poisons_the_instance_and_no_other() {
    let Some((_dir, plugin)) = loaded() else { return };
    let (spoilt, other) = (instance(&plugin), instance(&plugin));
    let error = answer(&spoilt, "panic", json!({})).await.unwrap_err();
    assert_eq!(error.code, Code::Internal);
    assert!(error.message.starts_with("panic:"), "{}", error.message);
    assert!(spoilt.poisoned() && !other.poisoned());
    let refused = answer(&spoilt, "health", json!({})).await.unwrap_err();
    assert_eq!((refused.code, refused.retryable), (Code::Unavailable, true));
    assert!(answer(&other, "health", json!({})).await.is_ok());
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_its_field() {
    let Some((_dir, plugin)) = loaded() else { return };
    for (config, field) in [(json!({"prefix": 1}), "prefix"), (json!({"prefix": "x".repeat(101)}), "prefix")]
    {
        let error = create(&plugin, "wrong", &config, Host::new()).err().unwrap();
        assert_eq!((error.code, error.field.as_deref()), (Code::InvalidArgument, Some(field)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_destroyed_instance() {
    let Some((_dir, plugin)) = loaded() else { return };
    let gone: Vec<_> = (0..20)
        .map(|_| {
            let instance = instance(&plugin);
            let gone = instance.destroyed();
            tokio::spawn(async move {
                let sleep = instance.call(call(instance.plugin(), "sleep", json!({"ms": 60_000})));
                let _ = tokio::time::timeout(Duration::from_millis(20), sleep).await;
                instance.close().await.unwrap();
            });
            gone.wait()
        })
        .collect();
    tokio::time::timeout(Duration::from_secs(10), join_all(gone)).await.unwrap();
}

#[test]
fn an_instance_that_outlives_its_runtime_is_destroyed_all_the_same() {
    let Some((_dir, plugin)) = loaded() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let instance = runtime.block_on(async { instance(&plugin) });
    let gone = instance.destroyed();
    drop(runtime);
    drop(instance);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let gone = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), gone.wait()).await });
    assert!(gone.is_ok());
}

#[tokio::test]
async fn each_load_is_a_generation_of_its_own() {
    let Some(path) = echo_path() else { return };
    let dir = TempDir::new().unwrap();
    let inspected = inspect(&path).unwrap();
    let first = load(&inspected, &options(dir.path())).unwrap();
    let second = load(&inspected, &options(dir.path())).unwrap();
    assert_ne!(first.generation(), second.generation());
    assert_ne!(first.loaded_path(), second.loaded_path());
    assert_eq!(first.build_id(), second.build_id());
    // A panic in one leaves the statics of the other alone.
    assert!(answer(&instance(&first), "panic", json!({})).await.is_err());
    assert!(answer(&instance(&second), "health", json!({})).await.is_ok());
}
