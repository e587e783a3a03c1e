//! Runs on bad days of the host itself: too much to do, and a journal whose row and entries do not agree.
#![allow(clippy::unwrap_used)]

mod flow_support;

use chassis::error::CallFailure;
use chassis::flow::trace::Spans;
use chassis::flow::{Calls, Engine, Nature, RunState, StepState};
use chassis::journal::{Durability, Journal, SqliteStore, Store};
use chassis::request::Context;
use chassis_abi::Code;
use flow_support::{Fault, Script, shipped, stores};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn ada() -> Value {
    json!({ "email": "ada@example.org", "username": "ada", "full_name": "Ada Lovelace" })
}

/// Turns an undo away before it is sent, so many times.
struct Busy {
    script: Arc<Script>,
    policy: &'static str,
    left: AtomicU32,
}

impl Calls for Busy {
    fn call<'a>(
        &'a self,
        role: &'a str,
        operation: &'a str,
        input: &Value,
        context: Context,
    ) -> BoxFuture<'a, Result<Value, CallFailure>> {
        let turned_away = (role, operation) == ("users", "delete")
            && self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok();
        if turned_away {
            let failure = CallFailure::refused(self.policy, Code::ResourceExhausted, "full", Duration::ZERO);
            return async { Err(failure) }.boxed();
        }
        self.script.call(role, operation, input, context)
    }

    fn nature(&self, role: &str, operation: &str) -> Nature {
        self.script.nature(role, operation)
    }

    fn system(&self, role: &str, operation: &str) -> Option<String> {
        self.script.system(role, operation)
    }

    fn roles(&self) -> Arc<Value> {
        self.script.roles()
    }
}

async fn undone_while(policy: &'static str, times: u32) -> (RunState, u32, Vec<String>) {
    let script = Arc::new(stores());
    script.fail("search.index", Fault::Refused(Code::Internal));
    let busy = Arc::new(Busy { script: script.clone(), policy, left: AtomicU32::new(times) });
    let outcome =
        Engine::new(shipped(), busy, Spans::default()).run("create-user", ada(), Context::default()).await;
    let outcome = outcome.unwrap();
    let user = outcome.steps.iter().find(|step| step.name == "user").unwrap();
    (outcome.state, user.undo.as_ref().map_or(0, |undo| undo.tries), script.marks())
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_this_host_has_no_room_for_is_no_try() {
    for policy in ["bulkhead", "admission", "breaker"] {
        let (state, tries, marks) = undone_while(policy, 25).await;
        assert_eq!((state, marks), (RunState::Undone, Vec::new()), "{policy}: {tries} tries");
        assert!(tries <= 1, "{policy}: {tries}");
    }
    // A breaker that stays open for minutes speaks of the backend: that is blocked, and people are told.
    let (state, tries, marks) = undone_while("breaker", u32::MAX).await;
    assert_eq!((state, tries, marks.len()), (RunState::Stuck, 10, 1));
}

#[tokio::test]
async fn a_run_whose_entries_say_how_it_ended_is_over_whatever_its_row_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.db");
    let script = Arc::new(stores());
    script.fail("search.index", Fault::Refused(Code::Internal));
    let start = || async {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&file, Durability::Process).await.unwrap());
        let journal = Journal::over(store, "host", Duration::from_secs(3));
        Engine::with_journal(shipped(), script.clone(), Spans::default(), journal)
    };
    let engine = start().await;
    let outcome = engine.run("create-user", ada(), Context::default()).await.unwrap();
    assert_eq!(outcome.state, RunState::Undone);
    let sent = script.log.lock().unwrap().len();
    engine.journal().close().await;

    // As if the last write had been half done.
    let mut connection = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    let half = "UPDATE chassis_runs SET state = 'undoing', ended = NULL, owner = NULL";
    sqlx::raw_sql(half).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let engine = start().await;
    assert_eq!(engine.recover().await.unwrap(), 1);
    engine.idle().await;
    let row = engine.journal().store().run(outcome.run_id.clone()).await.unwrap().unwrap();
    assert_eq!(row.state, RunState::Undone);
    assert_eq!(engine.recover().await.unwrap(), 0, "nobody has to look at it again");
    assert_eq!(script.log.lock().unwrap().len(), sent, "nothing was sent again");
    let shown = engine.runs().show(&outcome.run_id).await.unwrap();
    assert!(shown.steps.iter().any(|step| step.state == StepState::Undone), "{shown:?}");
    engine.journal().close().await;
}
