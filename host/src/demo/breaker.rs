//! Scene 11: a backend that fails is spared by its breaker, which refuses at once, and closes again when the backend is well.

use super::Demo;
use super::act::Act;
use super::other::{PATIENCE, Running};
use hyper::Method;
use serde_json::{Value, json};
use std::time::Instant;

/// What is asked of it.
const OPERATION: &str = "get";
/// More failures than this open any breaker.
const MOST: usize = 50;

pub async fn play(demo: &mut Demo, host: &Running) {
    let instance = demo.stage.roles.get("sessions").cloned().unwrap_or_default();
    demo.screen.title(&format!("Failure: the breaker of {instance}"));
    let opened = demo.check("failures open the breaker", async |_| open(host, &instance).await);
    if opened.await.is_some() {
        demo.check("an open breaker refuses at once", async |_| refuse(host, &instance).await).await;
    }
    demo.check("it closes when the backend is well", async |act| close(act, host, &instance).await).await;
}

async fn open(host: &Running, instance: &str) -> Result<((), String), String> {
    host.fault(&json!({ "name": "down", "kind": "error", "code": "unavailable", "instance": instance, "operation": OPERATION })).await?;
    for failed in 1..=MOST {
        let (ok, answer) = get(host, instance).await?;
        if ok {
            return Err(format!("a call succeeded: {answer}"));
        }
        if state(host, instance).await? == "open" {
            return Ok(((), format!("open after {failed} failed calls, with their tries")));
        }
    }
    Err(format!("it is {} after {MOST} failed calls", state(host, instance).await?))
}

async fn refuse(host: &Running, instance: &str) -> Result<((), String), String> {
    let started = Instant::now();
    let (ok, answer) = get(host, instance).await?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    if ok || answer["policy"] != "breaker" {
        return Err(format!("not refused by the breaker: {answer}"));
    }
    Ok((
        (),
        format!(
            "{} in {ms:.1} ms, nothing was sent; try again after {} s",
            answer["code"], answer["retry_after"]
        ),
    ))
}

async fn close(act: &Act<'_>, host: &Running, instance: &str) -> Result<((), String), String> {
    host.get(Method::DELETE, "/v1/faults", None).await?;
    let started = Instant::now();
    act.wait_for(PATIENCE, "the breaker to close", async || {
        get(host, instance).await?;
        Ok((state(host, instance).await? == "closed").then_some(()))
    })
    .await?;
    let (ok, answer) = get(host, instance).await?;
    match ok {
        true => {
            Ok(((), format!("closed {:.1} s after the backend was well", started.elapsed().as_secs_f64())))
        }
        false => Err(format!("it is closed, and a call fails: {answer}")),
    }
}

async fn get(host: &Running, instance: &str) -> Result<(bool, Value), String> {
    host.ask(Method::POST, &format!("/v1/instances/{instance}/{OPERATION}"), &json!({ "key": "nobody" }))
        .await
}

/// How the instance's breaker stands.
async fn state(host: &Running, instance: &str) -> Result<String, String> {
    let health = host.get(Method::GET, "/health", None).await?;
    let instances = health["instances"].as_array().cloned().unwrap_or_default();
    let found = instances.iter().find(|shown| shown["name"] == instance);
    let state = found.and_then(|shown| shown["breakers"][instance]["state"].as_str().map(str::to_owned));
    state.ok_or_else(|| format!("the health of `{instance}` tells of no breaker"))
}
