//! A host dies at every write of the journal, and the next one goes on: what a run did is whole or gone.
#![allow(clippy::unwrap_used)]

mod death_support;
mod flow_support;
mod journal_support;

use chassis::flow::trace::Spans;
use chassis::flow::{Engine, FlowSet, RunState, Start, StepState};
use chassis::journal::{History, Journal, MemoryStore, Point};
use chassis::request::Context;
use chassis_abi::Code;
use death_support::DieAt;
use flow_support::{Fault, Script, flow, shipped, stores};
use journal_support::Kept;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const STEPS: [&str; 5] =
    ["users.insert", "preferences.insert", "sessions.set", "search.index", "messages.publish"];

fn person(name: &str) -> Value {
    json!({ "email": format!("{name}@example.org"), "username": name, "full_name": name })
}

fn host(flows: &FlowSet, script: &Arc<Script>, store: &MemoryStore, name: &str) -> Engine {
    death_support::host(flows, script, Arc::new(store.clone()), name)
}

/// Runs create-user on a host that dies at a write; then on the next host until all is over. Answers how many writes were seen
/// before, and the states of all runs.
async fn with_a_death(
    flows: &FlowSet,
    script: &Arc<Script>,
    point: Point,
    count: u64,
) -> (bool, Vec<RunState>) {
    let store = MemoryStore::new();
    let first = host(flows, script, &store, "first");
    let probe = DieAt::new(point, count);
    assert!(first.journal().observe(probe.clone()));
    let run = first.run("create-user", person("ada"), Context::default());
    let answered = tokio::time::timeout(Duration::from_secs(120), run).await.is_ok();
    let died = probe.died();
    assert_eq!(answered, !died, "who dies answers nobody");
    first.abandon();
    first.idle().await;
    drop(first);
    let second = host(flows, script, &store, "second");
    second.recover().await.unwrap();
    second.idle().await;
    assert_eq!(second.recover().await.unwrap(), 0, "nothing is left to take");
    let mut states = Vec::new();
    for (row, entries) in store.dump() {
        let mut history = History::new([]);
        history.replay(&entries).unwrap();
        assert_eq!(history.state, row.state, "the row says what the entries say");
        states.push(row.state);
    }
    (died, states)
}

#[tokio::test(start_paused = true)]
async fn at_every_write_and_whatever_fails_a_death_leaves_all_or_nothing() {
    let flows = shipped();
    let mut faults: Vec<Option<(&str, Fault)>> = vec![None];
    for step in STEPS {
        faults.extend(
            [Fault::Refused(Code::Unavailable), Fault::LostBefore, Fault::LostAfter]
                .map(|fault| Some((step, fault))),
        );
    }
    let (mut deaths, mut ends) = (0, BTreeSet::new());
    for fault in faults {
        for point in [Point::BeforeCommit, Point::AfterCommit] {
            for count in 1.. {
                let script = Arc::new(stores());
                if let Some((call, fault)) = fault {
                    script.fail(call, fault);
                }
                let (died, states) = with_a_death(&flows, &script, point, count).await;
                let case = format!("{fault:?}, {point:?} {count}: {states:?} {:?}", script.called());
                match states.as_slice() {
                    [] => assert!(script.called().is_empty(), "{case}"),
                    [RunState::Completed] => assert_eq!(script.marks().len(), 5, "{case}"),
                    [RunState::Undone] => assert_eq!(script.marks(), Vec::<String>::new(), "{case}"),
                    _ => panic!("{case}"),
                }
                ends.extend(states.iter().map(|state| state.as_str()));
                let inserts = script.called().iter().filter(|call| *call == "users.insert").count();
                assert!(inserts <= 1, "what is not repeatable is sent once: {case}");
                if !died {
                    break;
                }
                deaths += 1;
            }
        }
    }
    assert!(deaths > 100, "{deaths}");
    assert_eq!(ends, BTreeSet::from(["completed", "undone"]));
}

#[tokio::test(start_paused = true)]
async fn a_death_in_the_middle_of_an_undo_is_gone_on_with() {
    let flows = shipped();
    let store = MemoryStore::new();
    let script = Arc::new(stores());
    script.fail("search.index", Fault::LostAfter);
    script.fail("users.delete", Fault::Refused(Code::Unavailable));
    let first = host(&flows, &script, &store, "first");
    let started = first.start("create-user", person("ada"), Start::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(script.marks().len() == 1, "it waits for its next try: {:?}", script.marks());
    first.abandon();
    assert_eq!(started.outcome().await.unwrap_err().code(), Code::Unavailable);
    script.faults.lock().unwrap().remove("users.delete");
    let second = host(&flows, &script, &store, "second");
    assert_eq!(second.recover().await.unwrap(), 1);
    second.idle().await;
    assert_eq!(script.marks(), Vec::<String>::new());
    let shown = second.runs().show(&store.dump()[0].0.id).await.unwrap();
    assert_eq!((shown.summary.state, shown.taken), (RunState::Undone, 1));
    let user = shown.steps.iter().find(|step| step.name == "user").unwrap();
    assert!(user.undo.as_ref().unwrap().attempts > 3, "tries of both hosts count: {user:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stuck_run_is_resumed_or_skipped() {
    for skip in [false, true] {
        let (flows, store, script) = (shipped(), MemoryStore::new(), Arc::new(stores()));
        script.fail("search.index", Fault::LostAfter);
        script.fail("sessions.delete", Fault::LostBefore);
        let engine = host(&flows, &script, &store, "host");
        let outcome = engine.run("create-user", person("ada"), Context::default()).await.unwrap();
        assert_eq!(outcome.state, RunState::Stuck);
        let session = outcome.step("session").unwrap();
        assert_eq!((session.state, session.undo.as_ref().unwrap().attempts), (StepState::UndoFailed, 10));
        assert_eq!(script.marks().len(), 1);
        let (runs, id) = (engine.runs(), outcome.run_id.as_str());
        // Still blocked: stuck again.
        runs.resume(id).await.unwrap();
        engine.idle().await;
        assert_eq!(runs.show(id).await.unwrap().summary.state, RunState::Stuck);
        assert_eq!(runs.skip(id, Some("user")).await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(runs.cancel(id, "x").await.unwrap_err().code(), Code::FailedPrecondition);
        if skip {
            runs.skip(id, None).await.unwrap();
        } else {
            script.faults.lock().unwrap().remove("sessions.delete");
            runs.resume(id).await.unwrap();
        }
        engine.idle().await;
        let shown = runs.show(id).await.unwrap();
        assert_eq!(shown.summary.state, RunState::Undone, "{shown:#?}");
        assert_eq!(script.marks().len(), usize::from(skip), "{:?}", script.marks());
        assert_eq!(runs.resume(id).await.unwrap_err().code(), Code::FailedPrecondition);
        assert_eq!(runs.show("nothing").await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_is_undone_and_a_step_under_way_is_waited_for() {
    let (flows, store, script) = (shipped(), MemoryStore::new(), Arc::new(stores()));
    script.delay("messages.publish", 500);
    let engine = host(&flows, &script, &store, "host");
    let started = engine.start("create-user", person("ada"), Start::default()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    engine.runs().cancel(started.run_id(), "a mistake").await.unwrap();
    let outcome = started.outcome().await.unwrap();
    assert_eq!(outcome.state, RunState::Cancelled);
    let failure = outcome.error.unwrap().failure;
    assert_eq!((failure.code(), failure.error.message.as_str()), (Code::Cancelled, "a mistake"));
    assert_eq!(script.marks(), Vec::<String>::new());
    assert_eq!(script.called().len(), 10, "all five were sent and taken back");
}

#[tokio::test(start_paused = true)]
async fn the_same_key_never_runs_twice_and_answers_the_same() {
    let (flows, store, script) = (shipped(), MemoryStore::new(), Arc::new(stores()));
    let engine = host(&flows, &script, &store, "host");
    let other = host(&flows, &script, &store, "other");
    let keyed = |key: &str, tenant: Option<&str>| Context {
        idempotency_key: Some(Arc::from(key)),
        tenant: tenant.map(Arc::from),
        ..Context::default()
    };
    // At the same instant, on two hosts.
    let runs = (0..8).map(|at| {
        let engine = if at % 2 == 0 { &engine } else { &other };
        engine.run("create-user", person("ada"), keyed("k", None))
    });
    let outcomes = futures_util::future::join_all(runs).await;
    let ids: BTreeSet<String> =
        outcomes.iter().map(|outcome| outcome.as_ref().unwrap().run_id.clone()).collect();
    assert_eq!(ids.len(), 1);
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap().output["id"] == 7));
    assert_eq!(script.called().len(), 5);
    // The order of the fields is no other body; another value is.
    let again = json!({ "full_name": "ada", "username": "ada", "email": "ada@example.org" });
    let again = engine
        .start("create-user", again, Start { context: keyed("k", None), ..Start::default() })
        .await
        .unwrap();
    assert!(again.is_replayed() && ids.contains(again.run_id()));
    let refused = engine.run("create-user", person("grace"), keyed("k", None)).await.unwrap_err();
    assert_eq!((refused.code(), refused.refused_by), (Code::InvalidArgument, Some("idempotency")));
    // Another tenant's key is another key; so is another flow's.
    engine.run("create-user", person("ada"), keyed("k", Some("acme"))).await.unwrap();
    assert_eq!(script.called().len(), 10);
    // A failure is answered again too.
    script.fail("users.insert", Fault::Refused(Code::AlreadyExists));
    for _ in 0..2 {
        let outcome = engine.run("create-user", person("eve"), keyed("e", None)).await.unwrap();
        assert_eq!(outcome.error.unwrap().failure.code(), Code::AlreadyExists);
    }
    assert_eq!(script.called().len(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_drains_leaves_an_undo_that_waits_to_the_next() {
    let (flows, store, script) = (shipped(), MemoryStore::new(), Arc::new(stores()));
    script.fail("search.index", Fault::LostAfter);
    script.fail("users.delete", Fault::LostBefore);
    let first = host(&flows, &script, &store, "first");
    let started = first.start("create-user", person("ada"), Start::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = tokio::time::Instant::now();
    first.drain().await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    first.journal().close().await;
    assert_eq!(started.outcome().await.unwrap_err().code(), Code::Unavailable);
    script.faults.lock().unwrap().clear();
    let second = host(&flows, &script, &store, "second");
    assert_eq!(second.recover().await.unwrap(), 1);
    second.idle().await;
    assert_eq!(store.dump()[0].0.state, RunState::Undone);
    assert_eq!(script.marks(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_run_keeps_the_version_of_its_flow() {
    let old = "[steps.first]\ncall = \"a.make\"\nundo = { call = \"a.drop\" }\n[steps.second]\ncall = \"b.make\"\nafter = [\"first\"]\n[output]\nfrom = \"old\"\n";
    let new = "[steps.other]\ncall = \"c.make\"\n[output]\nfrom = \"new\"\n";
    let (store, script) = (MemoryStore::new(), Arc::new(Script::default()));
    let first = host(&flow(old), &script, &store, "first");
    first.journal().observe(DieAt::new(Point::AfterCommit, 2));
    first.start("test", json!({}), Start::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.abandon();
    let second = host(&flow(new), &script, &store, "second");
    second.recover().await.unwrap();
    second.idle().await;
    let (row, _) = &store.dump()[0];
    // `b.make` may have been sent, and cannot be asked twice.
    assert_eq!(
        (row.state, script.called()),
        (RunState::Undone, vec!["a.make".to_owned(), "a.drop".to_owned()])
    );
    let outcome = second.run("test", json!({}), Context::default()).await.unwrap();
    assert_eq!(outcome.output, json!({ "from": "new" }));
}

#[tokio::test(start_paused = true)]
async fn what_only_reads_waits_for_no_write() {
    let flows = flow(
        "[steps.look]\ncall = \"a.get\"\nundo = \"none\"\n[output]\nsaw = \"${steps.look.output.it}\"\n",
    );
    let (store, script) =
        (MemoryStore::new(), Arc::new(Script::default().answer("a.get", |_, _| json!({ "it": 1 }))));
    let engine = host(&flows, &script, &store, "host");
    engine.journal().observe(DieAt::new(Point::BeforeCommit, 1));
    let outcome = engine.run("test", json!({}), Context::default()).await.unwrap();
    assert_eq!(outcome.output, json!({ "saw": 1 }));
    assert!(store.dump().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_stalls_loses_its_runs_and_notices() {
    let (flows, store, script) = (shipped(), MemoryStore::new(), Arc::new(stores()));
    // The first host's calls take for ever: it stands still in the middle of one.
    script.delay("sessions.set", 20_000);
    let (first, second) = (host(&flows, &script, &store, "first"), host(&flows, &script, &store, "second"));
    first.recover().await.unwrap();
    second.keep_up(Duration::from_secs(3600));
    let started = first.start("create-user", person("ada"), Start::default()).await.unwrap();
    let id = started.run_id().to_owned();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(second.running(), 0, "the first one lives");
    script.delays.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let shown = second.runs().show(&id).await.unwrap();
    assert_eq!((shown.summary.state, shown.taken), (RunState::Completed, 1), "{shown:#?}");
    // The first one comes back, has its answer, and may not say it.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(first.running(), 0);
    assert_eq!(started.outcome().await.unwrap().state, RunState::Completed, "told by the journal");
    assert_eq!(script.marks().len(), 5);
    let entries = &store.dump()[0].1;
    assert!(entries.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
    second.abandon();
}

#[tokio::test]
async fn a_file_outlives_the_host_and_takes_one_at_a_time() {
    let kept = Kept::sqlite().await;
    kept.store.close().await;
    let settings = |url: &str| chassis::journal::Settings { url: Some(url.to_owned()), ..Default::default() };
    let (flows, script) = (shipped(), Arc::new(stores()));
    script.fail("search.index", Fault::LostAfter);
    script.fail("users.delete", Fault::LostBefore);
    let journal = Journal::open(&settings(&kept.url)).await.unwrap();
    journal.serves("127.0.0.1:7700");
    let taken = Journal::open(&settings(&kept.url)).await.map(drop).unwrap_err().to_string();
    assert!(taken.contains(&std::process::id().to_string()) && taken.contains("127.0.0.1:7700"), "{taken}");
    let first = Engine::with_journal(flows.clone(), script.clone(), Spans::default(), journal);
    first.recover().await.unwrap();
    let started = first.start("create-user", person("ada"), Start::default()).await.unwrap();
    while !script.called().contains(&"users.delete".to_owned()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.abandon();
    first.idle().await;
    first.journal().close().await;
    script.faults.lock().unwrap().clear();
    let journal = Journal::open(&settings(&kept.url)).await.unwrap();
    let second = Engine::with_journal(flows, script.clone(), Spans::default(), journal);
    assert_eq!(second.recover().await.unwrap(), 1);
    second.idle().await;
    let shown = second.runs().show(started.run_id()).await.unwrap();
    assert_eq!((shown.summary.state, shown.taken), (RunState::Undone, 1));
    assert_eq!(script.marks(), Vec::<String>::new());
}
