//! When a breaker opens, and that it closes again.

use super::*;
use crate::config::policy::BreakerSettings;
use crate::policy::breaker::State;
use proptest::prelude::*;

fn fresh(now: Instant) -> Breaker {
    Breaker::new("i".into(), BreakerSettings::default(), Meters::default(), now)
}

fn ended(permit: BreakerPermit<'_>, code: Option<Code>) {
    permit.report(&code.map_or(Ok(()), |code| Err(failure(code))), true);
}

fn bad(breaker: &Breaker, now: Instant) {
    ended(breaker.enter(now).unwrap(), Some(Code::Unavailable));
}

/// One that has just become half-open.
async fn half_open() -> Breaker {
    let breaker = fresh(Instant::now());
    (0..5).for_each(|_| bad(&breaker, Instant::now()));
    advance(Duration::from_secs(1)).await;
    assert_eq!(breaker.shown(Instant::now()).state, State::HalfOpen);
    breaker
}

#[tokio::test(start_paused = true)]
async fn at_low_traffic_five_in_a_row_open_it() {
    let breaker = fresh(Instant::now());
    for n in 0..5 {
        assert_eq!(breaker.shown(Instant::now()).state, State::Closed, "after {n}");
        bad(&breaker, Instant::now());
        // One a minute: the window never holds two.
        advance(Duration::from_secs(60)).await;
    }
    // Time has made it half-open; what it was is seen without waiting.
    assert_eq!(breaker.shown(Instant::now()).state, State::HalfOpen);
    let breaker = fresh(Instant::now());
    for _ in 0..20 {
        (0..4).for_each(|_| bad(&breaker, Instant::now()));
        ended(breaker.enter(Instant::now()).unwrap(), None);
        advance(Duration::from_secs(20)).await;
    }
    assert_eq!(breaker.shown(Instant::now()).state, State::Closed, "a success between starts the row anew");
}

#[tokio::test(start_paused = true)]
async fn half_of_ten_calls_open_it_and_are_forgotten_in_time() {
    let breaker = fresh(Instant::now());
    for _ in 0..4 {
        ended(breaker.enter(Instant::now()).unwrap(), None);
        bad(&breaker, Instant::now());
    }
    assert_eq!(breaker.shown(Instant::now()).state, State::Closed, "eight are too few");
    advance(Duration::from_secs(11)).await;
    for _ in 0..4 {
        ended(breaker.enter(Instant::now()).unwrap(), None);
        bad(&breaker, Instant::now());
    }
    assert_eq!(breaker.shown(Instant::now()).state, State::Closed, "eight of the last 10 s");
    ended(breaker.enter(Instant::now()).unwrap(), None);
    bad(&breaker, Instant::now());
    assert_eq!(breaker.shown(Instant::now()).state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn wrong_callers_and_those_that_leave_do_not_count() {
    let stack = stack(&once("breaker = { at_least = 1 }"), None, &json!({}));
    let breaker = stack.breaker.clone().unwrap();
    for code in [
        Code::Cancelled,
        Code::InvalidArgument,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Unauthenticated,
    ] {
        for _ in 0..100 {
            call(&stack, Context::default(), |_| async { Err::<(), _>(failure(code)) }).await.unwrap_err();
        }
        assert_eq!(breaker.shown(Instant::now()).state, State::Closed, "{code}");
    }
    for _ in 0..100 {
        let gone = call(&stack, Context::default(), |_| std::future::pending::<Result<(), _>>());
        tokio::time::timeout(Duration::from_millis(1), gone).await.unwrap_err();
        // Gave it too little time.
        let hurry = Context::default().within(Duration::from_millis(1));
        call(&stack, &hurry, |_| std::future::pending::<Result<(), _>>()).await.unwrap_err();
    }
    assert_eq!(breaker.shown(Instant::now()).state, State::Closed);
    call(&stack, Context::default(), |_| std::future::pending::<Result<(), _>>()).await.unwrap_err();
    assert_eq!(breaker.shown(Instant::now()).state, State::Open, "had all the time it is given");
}

#[tokio::test(start_paused = true)]
async fn an_open_one_refuses_and_says_for_how_long() {
    let stack = stack(&once(""), None, &json!({}));
    for _ in 0..5 {
        call(&stack, Context::default(), |_| async { Err::<(), _>(failure(Code::Unavailable)) })
            .await
            .unwrap_err();
    }
    let refused = call(&stack, Context::default(), |_| async { Ok(()) }).await.unwrap_err();
    assert_eq!((refused.refused_by, refused.code()), (Some("breaker"), Code::Unavailable));
    let wait = refused.error.retry_after.unwrap();
    assert!(wait > Duration::from_millis(790) && wait <= Duration::from_secs(1), "{wait:?}");
    assert_eq!(refused.error.causes, ["unavailable: asked to fail"]);
    assert!(refused.error.message.contains("`i`") && !refused.error.maybe_applied, "{refused}");
    advance(wait - Duration::from_millis(1)).await;
    assert!(call(&stack, Context::default(), |_| async { Ok(()) }).await.is_err());
    advance(Duration::from_millis(1)).await;
    for _ in 0..2 {
        call(&stack, Context::default(), |_| async { Ok(()) }).await.unwrap();
    }
    assert_eq!(stack.breaker.as_ref().unwrap().shown(Instant::now()).state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn each_opening_lasts_longer_up_to_half_a_minute() {
    let breaker = half_open().await;
    for most in [2, 4, 8, 16, 30, 30, 30] {
        bad(&breaker, Instant::now());
        let wait = breaker.enter(Instant::now()).unwrap_err().error.retry_after.unwrap();
        assert!(
            wait.as_secs_f64() >= 0.8 * f64::from(most) - 0.01 && wait.as_secs() <= most as u64,
            "{wait:?} of {most} s"
        );
        advance(wait).await;
    }
    (0..2).for_each(|_| ended(breaker.enter(Instant::now()).unwrap(), None));
    (0..5).for_each(|_| bad(&breaker, Instant::now()));
    let wait = breaker.enter(Instant::now()).unwrap_err().error.retry_after.unwrap();
    assert!(wait <= Duration::from_secs(1), "from the beginning again");
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_caller_is_gone_gives_its_place_back() {
    let breaker = half_open().await;
    for _ in 0..1000 {
        let now = Instant::now();
        let probes: Vec<_> = (0..3).map(|_| breaker.enter(now).unwrap()).collect();
        let refused = breaker.enter(now).unwrap_err();
        assert!(refused.error.retry_after.is_some() && refused.error.message.contains("probed"), "{refused}");
        // Dropped, ended by a wrong caller, dropped.
        for (at, probe) in probes.into_iter().enumerate() {
            if at == 1 { ended(probe, Some(Code::NotFound)) } else { drop(probe) }
        }
    }
    assert_eq!(breaker.shown(Instant::now()).state, State::HalfOpen);
    (0..2).for_each(|_| ended(breaker.enter(Instant::now()).unwrap(), None));
    assert_eq!(breaker.shown(Instant::now()).state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn half_open_is_decided_by_what_is_known_after_its_time() {
    // Probes that do not come back.
    let breaker = half_open().await;
    let probes: Vec<_> = (0..3).map(|_| breaker.enter(Instant::now()).unwrap()).collect();
    advance(Duration::from_secs(5)).await;
    assert_eq!(breaker.shown(Instant::now()).state, State::Open);
    advance(Duration::from_secs(30)).await;
    assert_eq!(breaker.shown(Instant::now()).state, State::HalfOpen);
    // Those of the time before have no say any more.
    probes.into_iter().for_each(|probe| ended(probe, None));
    assert_eq!(breaker.shown(Instant::now()).state, State::HalfOpen);
    assert_eq!((0..9).filter_map(|_| breaker.enter(Instant::now()).ok().map(std::mem::forget)).count(), 3);
    // One call in a long while, and it went well.
    let breaker = half_open().await;
    ended(breaker.enter(Instant::now()).unwrap(), None);
    advance(Duration::from_secs(5)).await;
    assert_eq!(breaker.shown(Instant::now()).state, State::Closed);
    // Nobody asked.
    let breaker = half_open().await;
    advance(Duration::from_secs(3600)).await;
    assert!(breaker.enter(Instant::now()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_dead_backend_leaves_the_others_alone() {
    let stacks: Vec<Arc<Stack>> = (0..3)
        .map(|_| Arc::new(stack(&settings(""), Some("relational"), &json!({"idempotent": true}))))
        .collect();
    let mut calls = Vec::new();
    for n in 0..3000_usize {
        let stack = stacks[n % 3].clone();
        calls.push(tokio::spawn(async move {
            let result = call(&stack, Context::default(), |_| async move {
                // The first one hangs.
                sleep(Duration::from_secs(if n % 3 == 0 { 3600 } else { 0 })).await;
                Ok(())
            });
            (n % 3, result.await.is_ok())
        }));
        sleep(Duration::from_millis(3)).await;
    }
    for call in calls {
        let (of, well) = call.await.unwrap();
        assert_eq!(well, of != 0);
    }
}

/// What may happen to a breaker.
#[derive(Clone, Copy, Debug)]
enum Event {
    Wait(u64),
    Begin,
    /// One of those that have begun ends so, or is dropped.
    End(usize, Option<Code>),
    Drop(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0_u64..8_000).prop_map(Event::Wait),
        4 => Just(Event::Begin),
        2 => (any::<usize>(), prop::option::of(prop::sample::select(Code::ALL.to_vec()))).prop_map(|(at, code)| Event::End(at, code)),
        2 => any::<usize>().prop_map(|at| Event::End(at, Some(Code::Unavailable))),
        1 => any::<usize>().prop_map(Event::Drop),
    ]
}

proptest! {
    /// After anything: a half-open one has at most three out, time alone leads back to calls that go through, and a backend that is
    /// well again has all of them.
    #[test]
    fn nothing_makes_it_wait_for_ever(events in prop::collection::vec(event(), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let breaker = fresh(Instant::now());
            let mut out = Vec::new();
            for event in events {
                match event {
                    Event::Wait(ms) => advance(Duration::from_millis(ms)).await,
                    Event::Begin => out.extend(breaker.enter(Instant::now())),
                    Event::End(at, code) if !out.is_empty() => ended(out.swap_remove(at % out.len()), code),
                    Event::Drop(at) if !out.is_empty() => drop(out.swap_remove(at % out.len())),
                    Event::End(..) | Event::Drop(_) => {}
                }
                if breaker.shown(Instant::now()).state == State::HalfOpen {
                    let free = std::iter::from_fn(|| breaker.enter(Instant::now()).ok()).take(9).collect::<Vec<_>>();
                    assert!(free.len() <= 3, "{} probes", free.len());
                }
            }
            // The last may still hang: they may not keep it from being asked.
            advance(Duration::from_secs(5)).await;
            let _ = breaker.shown(Instant::now());
            advance(Duration::from_secs(30)).await;
            let first = breaker.enter(Instant::now());
            assert!(first.is_ok(), "{first:?} of {:?}", breaker.shown(Instant::now()));
            ended(first.unwrap(), None);
            ended(breaker.enter(Instant::now()).unwrap(), None);
            assert_eq!(breaker.shown(Instant::now()).state, State::Closed);
        });
    }
}
