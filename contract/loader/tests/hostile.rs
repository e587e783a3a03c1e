//! A plugin that breaks the rules gets an error to its name, and the host goes on.

#![allow(clippy::unwrap_used, reason = "a test says with it what must hold")]
#![cfg(target_os = "linux")]

mod support;

use chassis_loader::{CallError, Code, Instance, Plugin, RefusalKind, Supervised, create, inspect, load};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use support::{Host, answer, call, compile, options};
use tempfile::TempDir;

fn loaded(dir: &TempDir) -> Option<Arc<Plugin>> {
    let library = dir.path().join("libhostile.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile.c");
    compile(&source, &library, &[])?;
    Some(load(&inspect(&library).unwrap(), &options(dir.path())).unwrap())
}

async fn error(instance: &Instance, operation: &str) -> CallError {
    answer(instance, operation, json!({})).await.unwrap_err()
}

#[tokio::test]
async fn broken_rules_are_the_plugins_errors() {
    let dir = TempDir::new().unwrap();
    let Some(plugin) = loaded(&dir) else { return };
    let instance = support::instance(&plugin);
    assert!(answer(&instance, "health", json!({})).await.is_ok());
    for (operation, said) in [
        ("no_poll", "cannot be polled"),
        ("odd_poll", "a poll answered 7"),
        ("sudden_stream", "whose manifest entry has no `item`"),
    ] {
        let error = error(&instance, operation).await;
        assert_eq!(error.code, Code::Internal, "{operation}");
        assert!(error.message.contains(said), "{operation}: {error}");
    }
    assert!(!instance.poisoned());
}

#[tokio::test]
async fn an_error_that_cannot_be_read_is_still_an_error() {
    let dir = TempDir::new().unwrap();
    let Some(plugin) = loaded(&dir) else { return };
    let instance = support::instance(&plugin);
    let odd = error(&instance, "odd_error").await;
    assert_eq!((odd.code, odd.retryable, odd.maybe_applied), (Code::Unknown, true, true));
    assert!(odd.message.contains("code 99"), "{odd}");
    assert_eq!(odd.causes, ["\u{fffd} not json"]);
    let silent = error(&instance, "no_text").await;
    assert_eq!((silent.code, silent.causes.len()), (Code::NotFound, 0));
}

#[tokio::test]
async fn a_stream_without_credit_is_ended() {
    let dir = TempDir::new().unwrap();
    let Some(plugin) = loaded(&dir) else { return };
    let instance = support::instance(&plugin);
    let reply = instance.call(call(&plugin, "greedy", json!({}))).await.unwrap();
    let mut items = reply.stream.unwrap();
    items.grant(1);
    assert!(items.next().await.unwrap().is_ok());
    assert!(items.next().await.unwrap().unwrap_err().message.contains("more items than were granted"));
    assert!(items.next().await.is_none());

    let reply = instance.call(call(&plugin, "no_poll_next", json!({}))).await.unwrap();
    assert_eq!(reply.stream.unwrap().next().await.unwrap().unwrap_err().code, Code::Internal);
    let reply = instance.call(call(&plugin, "no_stream", json!({}))).await.unwrap();
    assert!(reply.stream.is_none());
}

#[tokio::test]
async fn an_instance_that_is_null_has_a_reason() {
    let dir = TempDir::new().unwrap();
    let Some(plugin) = loaded(&dir) else { return };
    let error = create(&plugin, "null", &json!({"a": 1}), Host::new()).err().unwrap();
    assert_eq!(error.code, Code::Internal);
}

/// What fails for a reason that may pass is tried again and again, ever more slowly.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_cannot_be_made_is_tried_again() {
    let dir = TempDir::new().unwrap();
    let Some(plugin) = loaded(&dir) else { return };
    let supervised = Supervised::new(plugin, "null", json!({"a": 1}), Host::new()).unwrap();
    let mut waits = Vec::new();
    while waits.len() < 3 {
        let error = supervised.call(call(supervised.plugin(), "health", json!({}))).await.unwrap_err();
        assert_eq!((error.code, error.retryable), (Code::Unavailable, true));
        assert!(error.causes[0].contains("`create` answered null"), "{:?}", error.causes);
        waits.extend(
            error.retry_after.filter(|wait| !waits.contains(&wait.as_millis())).map(|wait| wait.as_millis()),
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!((waits, supervised.recreations()), (vec![100, 200, 400], 0));
}

#[test]
fn a_broken_table_is_refused() {
    let dir = TempDir::new().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile.c");
    for (define, found) in [
        ("-DTABLE_SIZE=40", "a table of 40 bytes"),
        ("-DTABLE_MAJOR=2", "a table of version 2.0 beside a manifest of 1.0"),
        ("-DCALL=NULL", "no `call`"),
    ] {
        let library = dir.path().join("libtable.so");
        if compile(&source, &library, &[define, "-Wno-unused-function"]).is_none() {
            return;
        }
        let refusal = load(&inspect(&library).unwrap(), &options(dir.path())).unwrap_err();
        assert_eq!((refusal.kind(), refusal.found()), (RefusalKind::BadTable, found));
    }
}

#[test]
fn a_library_that_does_not_open_is_refused() {
    let dir = TempDir::new().unwrap();
    let library = dir.path().join("libunresolved.so");
    let source = dir.path().join("unresolved.c");
    let hostile = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile.c");
    let code =
        format!("#include {hostile:?}\nextern int nowhere(void);\nint (*const needed)(void) = nowhere;\n");
    std::fs::write(&source, code).unwrap();
    if compile(&source, &library, &[]).is_none() {
        return;
    }
    let refusal = load(&inspect(&library).unwrap(), &options(dir.path())).unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::OpenFailed);
    assert!(refusal.found().contains("nowhere"), "{refusal}");
}
