//! Whatever fails, wherever: a run ends with all of its effects or with none, and says which.
#![allow(clippy::unwrap_used)]

mod flow_support;

use chassis::flow::{RunOutcome, RunState, StepState};
use chassis::request::Context;
use chassis_abi::Code;
use flow_support::{Fault, Script, engine, flow, shipped, stores};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The steps of create-user: name, call, undo.
const STEPS: [(&str, &str, &str); 5] = [
    ("user", "users.insert", "users.delete"),
    ("preferences", "preferences.insert", "preferences.delete"),
    ("session", "sessions.set", "sessions.delete"),
    ("entry", "search.index", "search.delete"),
    ("welcome", "messages.publish", "messages.retract"),
];

fn ada() -> Value {
    json!({ "email": "ada@example.org", "username": "ada", "full_name": "Ada Lovelace" })
}

async fn create(script: &Arc<Script>) -> RunOutcome {
    engine(shipped(), script).run("create-user", ada(), Context::default()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_good_run_leaves_one_effect_in_each_store() {
    let script = Arc::new(stores());
    let outcome = create(&script).await;
    assert_eq!(outcome.state, RunState::Completed, "{outcome:#?}");
    assert_eq!(script.marks().len(), 5);
    assert_eq!(outcome.output["id"], 7);
    assert_eq!(outcome.output["message_id"], format!("welcome-{}", outcome.run_id));
    assert!(outcome.steps.iter().all(|step| step.state == StepState::Completed && step.attempts == 1));
    // After the user's id is known the other four run at once.
    let log = script.log.lock().unwrap();
    let last_start = log[1..].iter().map(|call| call.started).max().unwrap();
    let first_end = log[1..].iter().filter_map(|call| call.ended).min().unwrap();
    assert!(last_start < first_end, "{log:#?}");
    assert!(log[1..].iter().all(|call| Some(call.started) >= log[0].ended));
}

#[tokio::test(start_paused = true)]
async fn each_fault_at_each_step_leaves_nothing() {
    for (at, (step, call, _)) in STEPS.iter().enumerate() {
        for fault in Fault::ALL {
            for slow in STEPS {
                let script = Arc::new(stores());
                script.fail(call, fault);
                script.delay(slow.1, 20);
                let outcome = create(&script).await;
                let case = format!("{fault:?} at {step}, {} slow: {outcome:#?}", slow.0);
                assert_eq!(outcome.state, RunState::Undone, "{case}");
                assert_eq!(script.marks(), Vec::<String>::new(), "{case}");
                let error = outcome.error.as_ref().unwrap();
                assert_eq!(error.step, *step, "{case}");
                let expected = match fault {
                    Fault::Refused(code) => code,
                    _ => Code::DeadlineExceeded,
                };
                assert_eq!(error.failure.code(), expected, "{case}");
                let unsure = !matches!(fault, Fault::Refused(_));
                for (other, (name, ..)) in STEPS.iter().enumerate() {
                    let state = outcome.step(name).unwrap().state;
                    let expected = match (other == at, unsure, at) {
                        (true, true, _) => StepState::Undone,
                        (true, false, _) => StepState::Failed,
                        (false, _, 0) => StepState::NotRun,
                        (false, _, _) => StepState::Undone,
                    };
                    assert_eq!(state, expected, "{name}, {case}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn undo_runs_in_reverse_order_of_completion() {
    for fault in [Fault::Refused(Code::Unavailable), Fault::LostAfter] {
        let script = Arc::new(stores());
        script.fail("search.index", fault);
        for (call, ms) in
            [("messages.publish", 10), ("sessions.set", 20), ("search.index", 30), ("preferences.insert", 40)]
        {
            script.delay(call, ms);
        }
        create(&script).await;
        let mut expected = vec!["preferences.delete", "sessions.delete", "messages.retract", "users.delete"];
        if fault == Fault::LostAfter {
            expected.insert(1, "search.delete");
        }
        assert_eq!(
            script.called()[5..],
            expected,
            "the slowest ends last, although another failed before it"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_undone_is_told_and_stops_nothing() {
    for (step, _, undo) in STEPS {
        for fault in Fault::ALL {
            let script = Arc::new(stores());
            let failing = if step == "entry" { "messages.publish" } else { "search.index" };
            script.fail(failing, Fault::Refused(Code::Unavailable));
            script.fail(undo, fault);
            let outcome = create(&script).await;
            assert_eq!(outcome.state, RunState::Stuck, "{step} {fault:?}");
            let told = outcome.step(step).unwrap();
            assert_eq!(told.state, StepState::UndoFailed);
            assert!(told.undo.as_ref().unwrap().error.is_some());
            // Only what could not be undone is left, if it is.
            let left = usize::from(fault != Fault::LostAfter);
            assert_eq!(script.marks().len(), left, "{step} {fault:?} {:?}", script.marks());
            let undone = outcome.steps.iter().filter(|step| step.state == StepState::Undone).count();
            assert_eq!(undone, 3, "{outcome:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_tell_calls_apart_and_undo_has_no_deadline() {
    let script = Arc::new(stores());
    script.fail("search.index", Fault::LostAfter);
    let context = Context::default().within(Duration::from_secs(5));
    let outcome = engine(shipped(), &script).run("create-user", ada(), context).await.unwrap();
    let log = script.log.lock().unwrap();
    let mut keys: Vec<&str> = log.iter().map(|call| call.key.as_str()).collect();
    assert!(keys.contains(&format!("{}/user", outcome.run_id).as_str()));
    assert!(keys.contains(&format!("{}/user/undo", outcome.run_id).as_str()));
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), log.len());
    assert!(log.iter().all(|call| call.deadline != call.key.ends_with("/undo")));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_caller_goes_away_is_finished() {
    let script = Arc::new(stores());
    script.delay("users.insert", 500);
    script.fail("search.index", Fault::LostAfter);
    let engine = engine(shipped(), &script);
    let gone = tokio::time::timeout(
        Duration::from_millis(100),
        engine.run("create-user", ada(), Context::default()),
    );
    assert!(gone.await.is_err());
    assert_eq!(engine.running(), 1);
    engine.idle().await;
    assert_eq!(script.marks(), Vec::<String>::new());
    assert!(script.called().contains(&"users.delete".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn past_its_deadline_a_run_begins_no_step_and_is_undone() {
    let script = Arc::new(stores());
    script.delay("users.insert", 300);
    let context = Context::default().within(Duration::from_millis(200));
    let outcome = engine(shipped(), &script).run("create-user", ada(), context).await.unwrap();
    assert_eq!(outcome.state, RunState::Undone);
    assert_eq!(outcome.error.unwrap().failure.code(), Code::DeadlineExceeded);
    assert_eq!(script.called(), ["users.insert", "users.delete"]);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_fails_its_check_is_taken_back() {
    let flows = r#"
        [steps.first]
        call = "a.make"
        undo = { call = "a.drop", input = { was = "${step.output.it}" } }
        [steps.second]
        call = "b.make"
        after = ["first"]
        input = { of = "${steps.first.output.it}" }
        check = { that = "step.output.it == 2", code = "failed_precondition", message = "it is ${step.output.it}" }
        undo = { call = "b.drop", input = { was = "${step.output.it}", sent = "${step.input.of}" } }
    "#;
    let script = Script::default()
        .answer("a.make", |_, _| json!({ "it": 1 }))
        .answer("b.make", |_, _| json!({ "it": 3 }));
    let script = Arc::new(script);
    let outcome = engine(flow(flows), &script).run("test", json!({}), Context::default()).await.unwrap();
    assert_eq!(outcome.state, RunState::Undone);
    let error = outcome.error.unwrap();
    assert_eq!(
        (error.failure.code(), error.failure.error.message.as_str()),
        (Code::FailedPrecondition, "it is 3")
    );
    assert_eq!(script.called(), ["a.make", "b.make", "b.drop", "a.drop"]);
    assert_eq!(script.log.lock().unwrap()[2].input, json!({ "was": 3, "sent": 1 }));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_made_undoes_the_run() {
    let flows = r#"
        output = "${steps.first.output.missing}"
        [steps.first]
        call = "a.make"
        undo = { call = "a.drop" }
    "#;
    let script = Arc::new(Script::default());
    let outcome = engine(flow(flows), &script).run("test", json!({}), Context::default()).await.unwrap();
    assert_eq!((outcome.state, outcome.error.unwrap().step.as_str()), (RunState::Undone, "output"));
    assert_eq!(script.called(), ["a.make", "a.drop"]);
}
