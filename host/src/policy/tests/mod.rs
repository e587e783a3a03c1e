//! With tokio's clock stopped, so that every time is exact.

mod admission;
mod breaker;
mod coalesce;
mod retry;

use super::*;
use crate::config::policy::Count;
use crate::config::units::Span;
use crate::error::CallError;
use chassis_abi::Code;
use serde_json::{Value, json};
use std::borrow::Borrow;
use std::sync::Arc;
use tokio::time::{advance, sleep};

fn operation(contract: Option<&str>, changes: &Value) -> Operation {
    let mut document = json!({
        "name": "op", "contract": contract, "summary": "does", "effect": "write", "input": {}, "output": {},
        "telemetry": {"kind": "internal", "operation": "op"},
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        document[key] = value.clone();
    }
    serde_json::from_value(document).unwrap()
}

fn stack(settings: &PolicySettings, contract: Option<&str>, changes: &Value) -> Stack {
    let now = Instant::now();
    let shared = Shared::new("i".into(), settings, Meters::default(), now);
    Stack::new(settings, &operation(contract, changes), &shared, Counter::noop(), now)
}

/// Settings as they stand in a file.
fn settings(text: &str) -> PolicySettings {
    let settings: PolicySettings = toml::from_str(text).unwrap();
    assert_eq!(settings.problems(), []);
    settings
}

/// Tries once, for what limits a single try.
fn once(text: &str) -> PolicySettings {
    settings(&format!("retry = \"off\"\n{text}"))
}

/// Sends a call; `send` is told which try it is.
async fn call<T, F: Future<Output = Result<T, CallFailure>>>(
    stack: &Stack,
    context: impl Borrow<Context>,
    send: impl FnMut(Attempt<'_>) -> F,
) -> Result<T, CallFailure> {
    stack.run(context.borrow(), Instant::now(), Duration::ZERO, send).await
}

fn failure(code: Code) -> CallFailure {
    let retryable = matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted);
    CallError { retryable, ..CallError::new(code, "asked to fail") }.into()
}

/// How long a call takes that would take a day.
async fn cut_after(stack: &Stack, context: Context, input: &str) -> (Duration, CallFailure) {
    let begun = Instant::now();
    let wait = stack.wait(input.as_bytes());
    let result = stack.run(&context, begun, wait, |_| async {
        sleep(Duration::from_secs(86_400)).await;
        Ok(())
    });
    let failure = result.await.unwrap_err();
    (begun.elapsed(), failure)
}

#[tokio::test(start_paused = true)]
async fn each_contract_has_its_usual_timeout() {
    let usual = [
        (Some("cache"), 250),
        (Some("relational"), 2000),
        (Some("documents"), 2000),
        (Some("queue"), 2000),
        (Some("search"), 3000),
        (Some("http"), 5000),
        (None, 5000),
    ];
    for (contract, millis) in usual {
        let stack = stack(&once(""), contract, &json!({}));
        let (elapsed, failure) = cut_after(&stack, Context::default(), "").await;
        assert_eq!(elapsed, Duration::from_millis(millis), "{contract:?}");
        assert_eq!(failure.code(), Code::DeadlineExceeded);
        assert!(failure.error.maybe_applied && failure.error.retryable && failure.refused_by.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_cut_has_not_been_applied() {
    let stack = stack(&once(""), Some("cache"), &json!({"effect": "read"}));
    let (_, failure) = cut_after(&stack, Context::default(), "").await;
    assert!(!failure.error.maybe_applied);
}

#[tokio::test(start_paused = true)]
async fn the_earliest_of_three_limits_holds() {
    for (total, attempt, caller) in
        [(300, 200, 100), (100, 200, 300), (200, 100, 300), (50, 50, 50), (9, 400, 8)]
    {
        let settings = once(&format!("deadline = {total}\nattempt_timeout = {attempt}"));
        let stack = stack(&settings, None, &json!({}));
        let context = Context::default().within(Duration::from_millis(caller));
        let (elapsed, failure) = cut_after(&stack, context, "").await;
        assert_eq!(elapsed.as_millis() as u64, total.min(attempt).min(caller));
        assert_eq!(failure.error.retryable, attempt < total.min(caller), "{total} {attempt} {caller}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_may_have_limits_of_its_own() {
    let text = "attempt_timeout = 2000\noperations.op = { attempt_timeout = \"7s\", bulkhead = 1 }";
    let stack = stack(&once(text), Some("cache"), &json!({}));
    assert_eq!(cut_after(&stack, Context::default(), "").await.0, Duration::from_secs(7));
    assert_eq!(stack.bulkhead.as_ref().map(Bulkhead::limit), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_refuses_before_anything_is_sent() {
    let stack = stack(&once(""), None, &json!({}));
    let context = Context::default().within(Duration::from_millis(5));
    advance(Duration::from_millis(5)).await;
    let sent = call(&stack, &context, |_| async { Ok(()) }).await.unwrap_err();
    assert_eq!((sent.code(), sent.refused_by), (Code::DeadlineExceeded, Some("deadline")));
    assert!(!sent.error.maybe_applied);
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_wait_is_added_to_every_limit_but_the_callers() {
    let changes = json!({"input": {"properties": {"wait_ms": {"type": "integer"}}}});
    let stack = stack(&once(""), Some("queue"), &changes);
    let input = r#"{"queue": "q", "wait_ms": 30000}"#;
    assert_eq!(cut_after(&stack, Context::default(), input).await.0, Duration::from_secs(32));
    let context = Context::default().within(Duration::from_secs(1));
    assert_eq!(cut_after(&stack, context, input).await.0, Duration::from_secs(1));
    assert_eq!(cut_after(&stack, Context::default(), "not json").await.0, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_plugin_is_told_its_time_unless_a_stream_follows() {
    let now = Instant::now();
    let told = async |changes: Value| {
        let stack = stack(&once(""), Some("cache"), &changes);
        call(&stack, Context::default(), |attempt| async move { Ok(attempt.told) }).await.unwrap()
    };
    assert_eq!(told(json!({})).await, Some(now + Duration::from_millis(250)));
    assert_eq!(told(json!({"item": {}})).await, None);
    assert_eq!(told(json!({"upload": true})).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_bulkhead_refuses_one_more_at_once_and_gives_every_place_back() {
    let settings = PolicySettings { bulkhead: Some(Switch::On(Count(25))), ..PolicySettings::default() };
    let stack = Arc::new(stack(&settings, None, &json!({})));
    let begin = |stack: Arc<Stack>| {
        tokio::spawn(async move {
            call(&stack, Context::default(), |_| async {
                sleep(Duration::from_secs(1)).await;
                Ok(())
            })
            .await
        })
    };
    let calls: Vec<_> = (0..25).map(|_| begin(stack.clone())).collect();
    tokio::task::yield_now().await;
    let before = Instant::now();
    let refused = call(&stack, Context::default(), |_| async { Ok(()) }).await.unwrap_err();
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!((refused.code(), refused.refused_by), (Code::ResourceExhausted, Some("bulkhead")));
    assert!(refused.error.retryable && refused.error.retry_after.is_some() && !refused.error.maybe_applied);
    // Some end by themselves, some because their caller goes away.
    for (at, call) in calls.into_iter().enumerate() {
        if at % 2 == 0 {
            call.abort();
        }
        let _ = call.await;
    }
    assert_eq!(stack.instance.bulkhead.in_flight(), 0);
    let again: Vec<_> = (0..25).map(|_| begin(stack.clone())).collect();
    for call in again {
        call.await.unwrap().unwrap();
    }
}

/// Random entering, leaving and refusing never loses a place and never makes one.
#[test]
fn places_are_neither_lost_nor_made() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for limit in [0, 1, 3, 25] {
        let bulkhead = Bulkhead::new(limit);
        let mut held = Vec::new();
        for _ in 0..10_000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            if seed.is_multiple_of(3) && !held.is_empty() {
                held.swap_remove(seed as usize / 3 % held.len());
            } else {
                match bulkhead.enter() {
                    Ok(permit) => held.push(permit),
                    Err(_) => assert_eq!(held.len(), limit),
                }
            }
            assert!(held.len() <= limit);
            assert_eq!(bulkhead.in_flight(), held.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_of_a_flow_may_want_it_otherwise() {
    let stack = stack(&once(""), Some("cache"), &json!({}));
    let own = Overrides { attempt_timeout: Some(Span::secs(3)), ..Overrides::default() };
    let context = Context { overrides: Some(Arc::new(own)), ..Context::default() };
    assert_eq!(cut_after(&stack, context, "").await.0, Duration::from_secs(3));
    let own = Overrides { deadline: Some(Span::millis(90)), ..Overrides::default() };
    let context = Context { overrides: Some(Arc::new(own)), ..Context::default() };
    assert_eq!(cut_after(&stack, context, "").await.0, Duration::from_millis(90));
}

#[tokio::test(start_paused = true)]
async fn each_policy_can_be_switched_off() {
    let text = "rate_limit = \"off\"\ntenant_rate_limit = false\nbulkhead = \"off\"\ndeadline = \"off\"\nretry = \"off\"\n\
                breaker = \"off\"\nattempt_timeout = \"off\"\ncoalesce = \"off\"";
    let stack = stack(&settings(text), Some("cache"), &json!({}));
    let result = call(&stack, Context::default(), |attempt| async move {
        sleep(Duration::from_secs(86_400)).await;
        Ok((attempt.told, attempt.another))
    });
    assert_eq!(result.await.unwrap(), (None, false));
    for _ in 0..100 {
        let result = call(&stack, Context::default(), |_| async { Err::<(), _>(failure(Code::Unavailable)) });
        assert_eq!(result.await.unwrap_err().refused_by, None);
    }
}

#[test]
fn settings_that_make_no_sense_are_told_by_their_field() {
    let text = "rate_limit = { per_second = 0 }\nretry = { retries = 11, first = \"2s\" }\nattempt_timeout = 0\n\
                breaker = { probes = 1, percent = 101 }\noperations.get.coalesce = { items = 1 }\n\
                operations.set.operations.x.deadline = \"1s\"";
    let settings: PolicySettings = toml::from_str(text).unwrap();
    let fields: Vec<String> = settings.problems().into_iter().map(|(field, _)| field).collect();
    let wanted = [
        "rate_limit.per_second",
        "attempt_timeout",
        "retry.retries",
        "retry.first",
        "breaker.percent",
        "breaker.successes",
        "operations.get.coalesce.items",
        "operations.set.operations",
    ];
    assert_eq!(fields, wanted);
}
