//! What is sent a second time, and how often.

use super::*;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};

const IDEMPOTENT: fn() -> Value = || json!({"idempotent": true});

/// How often a call that always fails is sent, and how it ends.
async fn tries(stack: &Stack, context: &Context, failure: &CallFailure) -> (u32, CallFailure) {
    let sent = Cell::new(0);
    let result = call(stack, context, |_| {
        sent.set(sent.get() + 1);
        async { Err::<(), _>(failure.clone()) }
    });
    let failure = result.await.unwrap_err();
    (sent.get(), failure)
}

fn keyed() -> Context {
    Context { idempotency_key: Some("k".into()), ..Context::default() }
}

#[tokio::test(start_paused = true)]
async fn what_does_no_harm_is_tried_three_times() {
    let unavailable = failure(Code::Unavailable);
    let mut lost = unavailable.clone();
    lost.error.maybe_applied = true;
    let none = Context::default();
    for (operation, context, failure, times) in [
        (IDEMPOTENT(), &none, &lost, 3),
        (IDEMPOTENT(), &none, &failure(Code::DeadlineExceeded), 3),
        // Another try would end the same.
        (IDEMPOTENT(), &none, &failure(Code::InvalidArgument), 1),
        (IDEMPOTENT(), &none, &failure(Code::Cancelled), 1),
        (json!({"keyed": true}), &keyed(), &lost, 3),
        (json!({"keyed": true}), &none, &lost, 1),
        // A key that the operation does not heed does not help.
        (json!({}), &keyed(), &lost, 1),
        // No server was there to do anything.
        (json!({}), &none, &unavailable, 3),
        (json!({}), &none, &failure(Code::ResourceExhausted), 1),
        // It may have taken a message with it.
        (json!({"effect": "read"}), &none, &unavailable, 1),
        (json!({"upload": true, "idempotent": true}), &none, &unavailable, 1),
    ] {
        let stack = stack(&settings(""), None, &operation);
        let (sent, _) = tries(&stack, context, failure).await;
        assert_eq!(sent, times, "{operation} {failure:?} {:?}", context.idempotency_key);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_try_may_have_done_is_not_forgotten() {
    let stack = stack(&settings("attempt_timeout = 100"), None, &IDEMPOTENT());
    let result = call(&stack, Context::default(), |attempt| async move {
        if attempt.number == 1 {
            sleep(Duration::from_secs(1)).await;
        }
        Err::<(), _>(failure(Code::InvalidArgument))
    });
    let ended = result.await.unwrap_err();
    assert!(ended.code() == Code::InvalidArgument && ended.error.maybe_applied);
}

#[tokio::test(start_paused = true)]
async fn pauses_are_random_double_and_heed_what_the_backend_says() {
    let stack = stack(
        &settings("retry = { retries = 6, budget_percent = 100 }\nbreaker = \"off\""),
        None,
        &IDEMPOTENT(),
    );
    let mut longest = [Duration::ZERO; 6];
    for _ in 0..200 {
        let begun = RefCell::new(Vec::new());
        call(&stack, Context::default(), |attempt| {
            begun.borrow_mut().push(attempt.now);
            async { Err::<(), _>(failure(Code::Unavailable)) }
        })
        .await
        .unwrap_err();
        for (pair, longest) in begun.borrow().windows(2).zip(&mut longest) {
            *longest = (*longest).max(pair[1] - pair[0]);
        }
        advance(Duration::from_secs(10)).await;
    }
    for (longest, most) in longest.iter().zip([50, 100, 200, 400, 800, 1000]) {
        // The clock of timers has whole milliseconds.
        assert!(
            longest.as_millis() <= most + 1 && longest.as_millis() > most / 2,
            "{longest:?} of {most} ms"
        );
    }
    let mut busy = failure(Code::ResourceExhausted);
    busy.error.retry_after = Some(Duration::from_secs(2));
    let begun = Instant::now();
    assert_eq!(
        tries(&stack, &Context::default(), &busy).await.0,
        5,
        "a fifth pause would end after the deadline"
    );
    assert!((8..=9).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_step_may_ask_for_none_and_an_open_breaker_allows_none() {
    let stack = stack(&settings(""), None, &IDEMPOTENT());
    let none = Overrides { retries: Some(0), ..Overrides::default() };
    let context = Context { overrides: Some(Arc::new(none)), ..Context::default() };
    assert_eq!(tries(&stack, &context, &failure(Code::Unavailable)).await.0, 1);
    assert_eq!(tries(&stack, &Context::default(), &failure(Code::Unavailable)).await.0, 3);
    // The fifth failure in a row opens it, in the middle of this call.
    let (sent, ended) = tries(&stack, &Context::default(), &failure(Code::Unavailable)).await;
    assert_eq!((sent, ended.refused_by), (1, None), "the failure is told, not the refusal of the retry");
    let (sent, ended) = tries(&stack, &Context::default(), &failure(Code::Unavailable)).await;
    assert_eq!((sent, ended.refused_by), (0, Some("breaker")));
}

/// The bound: N calls over T seconds are sent at most 1.2 N + T + 10 times, however they fail.
#[tokio::test(start_paused = true)]
async fn when_all_fails_little_more_is_sent_than_was_asked() {
    let stack = Arc::new(stack(&settings("breaker = \"off\"\nbulkhead = \"off\""), None, &IDEMPOTENT()));
    let begun = Instant::now();
    let sent = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut calls = Vec::new();
    let asked = 20_000;
    for _ in 0..asked {
        let (stack, sent) = (stack.clone(), sent.clone());
        calls.push(tokio::spawn(async move {
            let result = call(&stack, Context::default(), |_| {
                sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                async { Err::<(), _>(failure(Code::Unavailable)) }
            });
            result.await.unwrap_err();
        }));
        sleep(Duration::from_millis(5)).await;
    }
    for call in calls {
        call.await.unwrap();
    }
    let (sent, seconds) = (sent.load(std::sync::atomic::Ordering::Relaxed), begun.elapsed().as_secs_f64());
    let bound = 1.2 * f64::from(asked) + seconds + 10.0;
    assert!(sent as f64 <= bound, "{sent} sent, {asked} asked in {seconds} s: at most {bound}");
    assert!(sent as f64 > 1.15 * f64::from(asked), "{sent}: the budget is there to be used");
}

#[derive(Clone, Debug)]
struct Case {
    idempotent: bool,
    keyed: bool,
    key: bool,
    read: bool,
    /// How long each try takes, and how it ends; none is well.
    tries: Vec<(u64, Option<(Code, bool)>)>,
    deadline: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let code = prop::sample::select(Code::ALL.to_vec());
    let tries = prop::collection::vec((0_u64..3_000, prop::option::weighted(0.9, (code, any::<bool>()))), 12);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (flags, tries, 1_u64..6_000).prop_map(|((idempotent, keyed, key, read), tries, deadline)| Case {
        idempotent,
        keyed,
        key,
        read,
        tries,
        deadline,
    })
}

proptest! {
    /// Whatever happens: nothing goes on after the deadline, and an effect that may have happened is not made a second time
    /// unless the operation or its key makes that harmless.
    #[test]
    fn no_retry_outlives_the_deadline_or_repeats_an_effect(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let effect = if case.read { "read" } else { "write" };
            let operation = json!({"idempotent": case.idempotent, "keyed": case.keyed, "effect": effect});
            let stack = stack(&settings("retry = { retries = 10 }"), None, &operation);
            let context = Context { idempotency_key: case.key.then(|| "k".into()), ..Context::default() };
            let begun = Instant::now();
            let context = context.within(Duration::from_millis(case.deadline));
            // What each try may have left behind: unknown unless it says that it did nothing.
            let undone = RefCell::new(Vec::new());
            let _ = call(&stack, &context, |attempt| {
                let (takes, ends) = case.tries[attempt.number as usize - 1];
                undone.borrow_mut().push(false);
                let undone = &undone;
                async move {
                    sleep(Duration::from_millis(takes)).await;
                    let Some((code, maybe_applied)) = ends else { return Ok(()) };
                    let mut failed = failure(code);
                    failed.error.retryable = true;
                    failed.error.maybe_applied = maybe_applied;
                    *undone.borrow_mut().last_mut().unwrap() = code == Code::Unavailable && !maybe_applied;
                    Err(failed)
                }
            })
            .await;
            assert!(begun.elapsed() <= Duration::from_millis(case.deadline + 1), "{:?}", begun.elapsed());
            let undone = undone.borrow();
            if !(case.idempotent || case.keyed && case.key) {
                let (_, before) = undone.split_last().unwrap();
                assert!(before.iter().all(|undone| *undone), "{undone:?}");
                assert!(!case.read || before.is_empty());
            }
        });
    }
}
