//! Lists, failures that may be, and flows within flows: whatever fails and whenever the host dies, all of a run is there or nothing.
#![allow(clippy::unwrap_used)]

mod death_support;
mod family_support;
mod flow_support;
mod journal_support;

use chassis::flow::{Engine, FlowSet, RunState, Start, StepState};
use chassis::journal::{Durability, MemoryStore, Point, SqliteStore, Store};
use chassis::request::Context;
use chassis_abi::Code;
use death_support::{DieAt, all, dies, goes_on, host, is_whole};
use family_support::{CALLS, backends, family};
use flow_support::{Fault, Script, engine, flow};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

async fn run(flows: FlowSet, script: &Arc<Script>, input: Value) -> (Engine, chassis::flow::RunOutcome) {
    let engine = engine(flows, script);
    let outcome = engine.run("test", input, Context::default()).await.unwrap();
    (engine, outcome)
}

#[tokio::test(start_paused = true)]
async fn each_item_is_a_step_of_its_own_and_some_run_at_once() {
    let script = Arc::new(backends());
    script.delay("b.set", 100);
    let (_, outcome) = run(family(), &script, json!({ "ids": [1, 2, 3, 4, 5] })).await;
    let twice = |of: i64| json!({ "twice": 2 * of });
    let expected = json!({
        "each": [2, 3, 4, 5, 6], "kids": [twice(2), twice(3), twice(4), twice(5), twice(6)], "maybe": 1, "failed": false,
    });
    assert_eq!((outcome.state, &outcome.output), (RunState::Completed, &expected));
    let log = script.log.lock().unwrap();
    let items: Vec<_> = log.iter().filter(|called| called.call == "b.set").collect();
    let keys: Vec<_> = (0..5).map(|at| format!("{}/each/{at}", outcome.run_id)).collect();
    assert_eq!(items.iter().map(|called| called.key.clone()).collect::<Vec<_>>(), keys);
    let at_once = |at: tokio::time::Instant| {
        items.iter().filter(|item| item.started <= at && at < item.ended.unwrap()).count()
    };
    assert_eq!(items.iter().map(|item| at_once(item.started)).max(), Some(2), "as many as the limit says");
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_is_done_and_what_is_no_list_fails() {
    let script = Arc::new(backends());
    let (_, outcome) = run(family(), &script, json!({ "ids": [] })).await;
    assert_eq!((outcome.output["each"].clone(), outcome.output["kids"].clone()), (json!([]), json!([])));
    let text = "[steps.each]\ncall = \"a.make\"\nfor_each = \"input\"\non_error = \"continue\"\n";
    let (_, outcome) = run(flow(text), &script, json!({})).await;
    let error = outcome.error.unwrap();
    assert_eq!(
        (outcome.state, error.step.as_str(), error.failure.code()),
        (RunState::Undone, "each", Code::Internal)
    );
}

#[tokio::test(start_paused = true)]
async fn items_are_undone_one_by_one_the_last_to_end_first() {
    let text = r#"
        [steps.each]
        call = "b.set"
        for_each = "[1, 2, 3, 4]"
        limit = 2
        input = { mark = "${item}" , n = "${item}" }
        check = { that = "item < 3", code = "out_of_range", message = "item ${index} is ${item}" }
        undo = { call = "b.drop", input = { was = "${item}", at = "${index}", n = "${step.output.n}" } }
    "#;
    let script = Arc::new(backends());
    let (engine, outcome) = run(flow(text), &script, json!({})).await;
    let error = outcome.error.clone().unwrap();
    assert_eq!((error.step.as_str(), error.failure.error.message.as_str()), ("each[2]", "item 2 is 3"));
    let states: Vec<_> = outcome.steps.iter().map(|step| (step.name.as_str(), step.state)).collect();
    let undone = |name| (name, StepState::Undone);
    let list = ("each", StepState::Failed);
    assert_eq!(states, [list, undone("each[0]"), undone("each[1]"), undone("each[2]"), undone("each[3]")]);
    let log = script.log.lock().unwrap().clone();
    let undos: Vec<_> = log.iter().filter(|called| called.call == "b.drop").collect();
    let at: Vec<_> = undos.iter().map(|called| called.input["at"].as_i64().unwrap()).collect();
    let ended: Vec<_> = engine.journal().store().entries(outcome.run_id.clone()).await.unwrap();
    let ended: Vec<_> = ended
        .iter()
        .filter(|entry| ["step_succeeded", "step_failed"].contains(&entry.kind.as_str()))
        .filter_map(|entry| {
            entry.step.as_deref()?.strip_prefix("each[")?.strip_suffix(']')?.parse::<i64>().ok()
        })
        .collect();
    assert_eq!(at, ended.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(undos[0].key, format!("{}/each/{}/undo", outcome.run_id, at[0]));
    assert_eq!(undos[0].input["n"], 1, "a result that failed its check is seen by the undo");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_may_be_stands_in_the_journal_and_is_taken_back_if_the_run_fails() {
    let fails = [Fault::Refused(Code::Unavailable), Fault::LostBefore, Fault::LostAfter];
    for (fault, late) in fails.into_iter().flat_map(|fault| [(fault, false), (fault, true)]) {
        let script = Arc::new(backends());
        script.fail("c.make", fault);
        if late {
            script.fail("d.make", Fault::Refused(Code::Internal));
        }
        let (engine, outcome) = run(family(), &script, json!({ "ids": [1] })).await;
        let maybe = outcome.step("maybe").unwrap();
        assert_eq!(maybe.instead, Some(json!({ "n": 0 })));
        let runs = all(&**engine.journal().store()).await;
        is_whole(&family(), &runs, &script);
        if late {
            assert_eq!(outcome.state, RunState::Undone);
            let undone =
                if matches!(fault, Fault::Refused(_)) { StepState::Failed } else { StepState::Undone };
            assert_eq!(maybe.state, undone);
            assert_eq!(script.marks(), Vec::<String>::new());
        } else {
            assert_eq!(
                (outcome.output["maybe"].clone(), outcome.output["failed"].clone()),
                (json!(0), json!(true))
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_may_fail_leaves_its_place_in_the_list() {
    let text = r#"
        [steps.each]
        call = "b.set"
        for_each = "[1, 2, 3]"
        input = { mark = "${item}" }
        check = { that = "item != 2", code = "not_found", message = "no ${item}" }
        output = "${item * 10}"
        on_error = "continue"
        [output]
        all = "${steps.each.output}"
        failed = "${steps.each.failed}"
        code = "${steps.each.error.code}"
    "#;
    let (_, outcome) = run(flow(text), &Arc::new(backends()), json!({})).await;
    let expected = json!({ "all": [10, null, 30], "failed": true, "code": "not_found" });
    assert_eq!((outcome.state, outcome.output), (RunState::Completed, expected));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_completed_is_undone_with_the_whole() {
    let script = Arc::new(backends());
    script.fail("d.make", Fault::Refused(Code::Unavailable));
    let (engine, outcome) = run(family(), &script, json!({ "ids": [1, 2] })).await;
    assert_eq!((outcome.state, script.marks()), (RunState::Undone, vec![]));
    let runs = all(&**engine.journal().store()).await;
    assert_eq!(runs.len(), 4);
    let parents: BTreeSet<_> = runs.iter().filter_map(|(row, _)| row.parent.clone()).collect();
    let id = &outcome.run_id;
    assert_eq!(
        parents,
        BTreeSet::from([format!("{id}/child"), format!("{id}/kids/0"), format!("{id}/kids/1")])
    );
    for (row, entries) in &runs[1..] {
        assert!(entries.iter().any(|entry| entry.kind == "run_reverted"), "{row:?}");
        assert_eq!(row.parent, row.key);
    }
    // A part that fails by itself fails its step, which has nothing left to undo.
    let script = Arc::new(backends());
    script.fail("f.make", Fault::LostAfter);
    let (_, outcome) = run(family(), &script, json!({ "ids": [] })).await;
    let child = outcome.step("child").unwrap();
    assert_eq!((outcome.state, child.state, script.marks()), (RunState::Undone, StepState::Failed, vec![]));
    let message = &outcome.error.as_ref().unwrap().failure.error.message;
    assert!(message.starts_with("flow `child`: two: "), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_stuck_has_the_whole_stuck_and_is_resumed_with_it() {
    let script = Arc::new(backends());
    script.fail("d.make", Fault::Refused(Code::Unavailable));
    script.fail("e.drop", Fault::LostBefore);
    let (engine, outcome) = run(family(), &script, json!({ "ids": [] })).await;
    assert_eq!(outcome.state, RunState::Stuck);
    let child = outcome.step("child").unwrap();
    let why = child.undo.as_ref().unwrap().error.as_ref().unwrap().error.message.clone();
    assert_eq!(child.state, StepState::UndoFailed);
    let stuck = engine.journal().store().stuck().await.unwrap();
    assert_eq!(stuck, [("child".to_owned(), 1), ("test".to_owned(), 1)], "{why}");
    script.faults.lock().unwrap().remove("e.drop");
    engine.runs().resume(&outcome.run_id).await.unwrap();
    engine.idle().await;
    let runs = all(&**engine.journal().store()).await;
    assert_eq!(is_whole(&family(), &runs, &script), Some(RunState::Undone));
}

#[tokio::test(start_paused = true)]
async fn a_steps_policies_go_along_with_its_call_and_not_with_its_undo() {
    let text = r#"
        [steps.one]
        call = "a.make"
        policy = { retries = 0, deadline = "1s" }
        undo = { call = "a.drop" }
        [steps.two]
        call = "b.set"
        after = ["one"]
    "#;
    let script = Arc::new(backends());
    script.fail("b.set", Fault::Refused(Code::Internal));
    run(flow(text), &script, json!({})).await;
    let log = script.log.lock().unwrap();
    let overrides: Vec<_> = log.iter().map(|called| (called.call.as_str(), called.overrides)).collect();
    let own = overrides[0].1.unwrap();
    assert_eq!((own.retries, own.attempt_timeout), (Some(0), None));
    assert_eq!(overrides[1..], [("b.set", None), ("a.drop", None)]);
}

#[tokio::test(start_paused = true)]
async fn a_read_step_answers_with_its_last_good_result_for_a_while() {
    let text = r#"
        [input]
        id = "integer"
        [steps.look]
        call = "a.get"
        input = { id = "${input.id}" }
        stale_if_error = "10m"
        undo = "none"
        [output]
        saw = "${steps.look.output.id}"
    "#;
    let script = Arc::new(Script::default().answer("a.get", |_, input| input.clone()));
    let engine = engine(flow(text), &script);
    let look = |id: i64| engine.run("test", json!({ "id": id }), Context::default());
    assert_eq!(look(1).await.unwrap().output, json!({ "saw": 1 }));
    script.fail("a.get", Fault::Refused(Code::Unavailable));
    assert_eq!(look(1).await.unwrap().output, json!({ "saw": 1 }));
    assert_eq!(look(2).await.unwrap().state, RunState::Undone, "nothing is known of another input");
    script.fail("a.get", Fault::Refused(Code::NotFound));
    assert_eq!(look(1).await.unwrap().state, RunState::Undone, "that it is gone is an answer");
    script.fail("a.get", Fault::Refused(Code::Unavailable));
    tokio::time::sleep(std::time::Duration::from_secs(601)).await;
    assert_eq!(look(1).await.unwrap().state, RunState::Undone, "too old");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_flow_makes_of_its_input_never_runs_twice() {
    let text =
        "[input]\nid = \"integer?\"\n[idempotency]\nkey = \"${input.id}\"\n[steps.one]\ncall = \"a.make\"\n";
    let script = Arc::new(backends());
    let engine = engine(flow(text), &script);
    for id in [1, 1, 2, 1] {
        engine.start("test", json!({ "id": id }), Start::default()).await.unwrap().outcome().await.unwrap();
    }
    assert_eq!(script.called().len(), 2);
    for _ in 0..2 {
        engine.run("test", json!({}), Context::default()).await.unwrap();
    }
    assert_eq!(script.called().len(), 4, "null is nobody's key");
}

/// Every call that may fail, each way, and none.
fn faults() -> Vec<Option<(&'static str, Fault)>> {
    let ways = [Fault::Refused(Code::Unavailable), Fault::LostBefore, Fault::LostAfter];
    let all = CALLS.iter().flat_map(|call| ways.map(|fault| Some((*call, fault))));
    std::iter::once(None).chain(all).collect()
}

#[tokio::test(start_paused = true)]
async fn at_every_write_and_whatever_fails_a_death_leaves_all_or_nothing() {
    let (flows, mut deaths, mut ends) = (family(), 0, BTreeSet::new());
    for fault in faults() {
        for point in [Point::BeforeCommit, Point::AfterCommit] {
            for count in 1.. {
                let (store, script) = (MemoryStore::new(), Arc::new(backends()));
                if let Some((call, fault)) = fault {
                    script.fail(call, fault);
                }
                let probe = DieAt::new(point, count);
                let first = host(&flows, &script, Arc::new(store.clone()), "first");
                let died = dies(&first, json!({ "ids": [1, 2, 3] }), &probe).await;
                goes_on(&host(&flows, &script, Arc::new(store.clone()), "second")).await;
                println!("{fault:?}, {point:?} {count}");
                ends.extend(is_whole(&flows, &all(&store).await, &script).map(RunState::as_str));
                if !died {
                    break;
                }
                deaths += 1;
            }
        }
    }
    assert!(deaths > 500, "{deaths}");
    assert_eq!(ends, BTreeSet::from(["completed", "undone"]));
}

#[tokio::test]
async fn on_a_file_too() {
    let flows = family();
    for fault in [None, Some(("c.make", Fault::LostAfter)), Some(("d.make", Fault::LostAfter))] {
        for point in [Point::BeforeCommit, Point::AfterCommit] {
            for count in 1.. {
                let (folder, script) = (tempfile::tempdir().unwrap(), Arc::new(backends()));
                if let Some((call, fault)) = fault {
                    script.fail(call, fault);
                }
                let file = folder.path().join("journal.db");
                let open =
                    || async { Arc::new(SqliteStore::open(&file, Durability::Process).await.unwrap()) };
                let (store, probe) = (open().await, DieAt::new(point, count));
                let first = host(&flows, &script, store.clone(), "first");
                let died = dies(&first, json!({ "ids": [1, 2] }), &probe).await;
                store.close().await;
                let store = open().await;
                goes_on(&host(&flows, &script, store.clone(), "second")).await;
                println!("{fault:?}, {point:?} {count}");
                let runs = all(&*store).await;
                is_whole(&flows, &runs, &script);
                store.close().await;
                if !died {
                    // How many writes there are depends on how many go together.
                    assert!(count > 5, "{count}");
                    break;
                }
            }
        }
    }
}
