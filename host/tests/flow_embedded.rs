//! The shipped flows on the real embedded plugin: everything is read back by plain calls. Wants `CHASSIS_PLUGINS_DIR` with the
//! plugins `embedded` and `http-api` in it.
#![allow(clippy::unwrap_used)]

mod flow_support;

use chassis::config::{Config, Source};
use chassis::flow::trace::Spans;
use chassis::flow::{Calls, Engine, RunOutcome, RunState, StepState};
use chassis::registry::Registry;
use chassis::request::Context;
use chassis::telemetry::Telemetry;
use chassis_abi::Code;
use flow_support::shipped;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A host over embedded stores in a folder of its own.
struct House {
    data: TempDir,
    registry: Arc<Registry>,
    engine: Engine,
    telemetry: Telemetry,
}

impl House {
    /// `None` when there is no folder of plugins; the test then says so.
    async fn open(test: &str) -> Option<House> {
        if std::env::var_os("CHASSIS_PLUGINS_DIR").is_none() {
            println!("skipped: {test}: CHASSIS_PLUGINS_DIR is not set");
            return None;
        }
        let data = tempfile::tempdir().unwrap();
        let config = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config/embedded.toml");
        let given = BTreeMap::from([("CHASSIS_DATA".to_owned(), data.path().display().to_string())]);
        let mut config = Config::load_with(&Source::File(config), &given).unwrap();
        config.instances.remove("api");
        config.roles.remove("api");
        let telemetry = Telemetry::start(&Default::default()).unwrap();
        let registry = Arc::new(Registry::start(&config, &telemetry, &BTreeMap::new()).await.unwrap());
        let flows = shipped();
        let spans = Spans::new(&telemetry, &flows);
        let engine = Engine::new(flows, registry.clone(), spans);
        let house = House { data, registry, engine, telemetry };
        let prepared = house.run("setup", json!({})).await;
        assert_eq!(prepared.state, RunState::Completed, "{prepared:#?}");
        Some(house)
    }

    async fn run(&self, flow: &str, input: Value) -> RunOutcome {
        self.engine.run(flow, input, Context::default()).await.unwrap()
    }

    async fn done(&self, flow: &str, input: Value) -> RunOutcome {
        let outcome = self.run(flow, input).await;
        assert_eq!(outcome.state, RunState::Completed, "{outcome:#?}");
        outcome
    }

    async fn call(&self, role: &str, operation: &str, input: Value) -> Value {
        Calls::call(&*self.registry, role, operation, &input, Context::default()).await.unwrap()
    }

    /// Rows, documents, sessions, index entries, messages.
    async fn counts(&self) -> [u64; 5] {
        let rows = self.call("users", "query", json!({ "sql": "SELECT count(*) AS n FROM users" })).await;
        let documents = self.call("preferences", "count", json!({ "collection": "user_preferences" })).await;
        let mut sessions = 0;
        for id in 1..20 {
            let key = json!({ "key": format!("user_session:{id}") });
            sessions += u64::from(!self.call("sessions", "get", key).await["value"].is_null());
        }
        let entries = self.call("search", "count", json!({ "index": "users" })).await;
        let messages = self.call("messages", "depth", json!({ "queue": "welcome_messages" })).await;
        let number = |value: &Value| value.as_u64().unwrap();
        [
            number(&rows["rows"][0]["n"]),
            number(&documents["count"]),
            sessions,
            number(&entries["count"]),
            number(&messages["messages"]),
        ]
    }

    /// Runs a flow while a store is away.
    async fn without(&self, store: &str, flow: &str, input: Value) -> RunOutcome {
        let file = self.file(store);
        std::fs::rename(&file, away(&file)).unwrap();
        let outcome = self.run(flow, input).await;
        std::fs::rename(away(&file), &file).unwrap();
        outcome
    }

    /// What each store says of a user.
    async fn all_of(&self, id: u64) -> [Value; 4] {
        [
            self.call("users", "get", json!({ "table": "users", "key": { "id": id } })).await,
            self.call("preferences", "find", json!({ "collection": "user_preferences" })).await,
            self.call("search", "get", json!({ "index": "users", "id": id.to_string() })).await,
            self.call("sessions", "get", json!({ "key": format!("user_session:{id}"), "json": true })).await,
        ]
    }

    fn file(&self, store: &str) -> PathBuf {
        self.data.path().join(format!("{store}.db"))
    }
}

fn person(name: &str) -> Value {
    json!({ "email": format!("{name}@example.org"), "username": name, "full_name": format!("{name} Lovelace"), "bio": "engines" })
}

fn away(path: &Path) -> PathBuf {
    path.with_extension("away")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_lives_in_five_stores_and_leaves_them_all() {
    let Some(house) = House::open("a_user_lives_in_five_stores_and_leaves_them_all").await else { return };
    // Prepared again: nothing changes.
    house.done("setup", json!({})).await;
    let made = house.done("create-user", person("ada")).await;
    assert_eq!(made.output["id"], 1);
    assert_eq!(house.counts().await, [1; 5]);

    house.call("sessions", "delete", json!({ "key": "user_session:1" })).await;
    let missed = house.done("get-user", json!({ "id": 1 })).await;
    let hit = house.done("get-user", json!({ "id": 1 })).await;
    assert_eq!((&missed.output["cached"], &hit.output["cached"]), (&json!(false), &json!(true)));
    assert_eq!(missed.output["user"], hit.output["user"]);
    assert_eq!(hit.output["user"]["preferences"]["theme"], "light");
    let nobody = house.run("get-user", json!({ "id": 99 })).await;
    assert_eq!(nobody.error.unwrap().failure.code(), Code::NotFound);

    let found = house.done("search-users", json!({ "text": "lovelase" })).await;
    assert_eq!(found.output["users"][0]["user_id"], 1, "{found:#?}");
    let exact = house.done("search-users", json!({ "text": "lovelase", "fuzzy": false })).await;
    assert_eq!(exact.output["total"], 0);

    let changed = json!({ "id": 1, "bio": "notes on looms", "theme": "dark" });
    house.done("update-user", changed).await;
    let read = house.done("get-user", json!({ "id": 1 })).await;
    assert_eq!(
        (&read.output["cached"], &read.output["user"]["bio"]),
        (&json!(false), &json!("notes on looms"))
    );
    assert_eq!(read.output["user"]["preferences"]["theme"], "dark");
    assert_eq!(house.done("search-users", json!({ "text": "looms" })).await.output["total"], 1);

    let processed = house.done("process-welcome", json!({})).await;
    assert_eq!((&processed.output["processed"], &processed.output["user_id"]), (&json!(true), &json!(1)));
    let again = house.done("process-welcome", json!({})).await;
    assert_eq!(again.output["processed"], false);

    house.done("delete-user", json!({ "id": 1 })).await;
    assert_eq!(house.counts().await, [0; 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_address_leaves_nothing_and_harms_nothing() {
    let Some(house) = House::open("a_taken_address_leaves_nothing_and_harms_nothing").await else { return };
    house.done("create-user", person("ada")).await;
    let refused = house.run("create-user", person("ada")).await;
    assert_eq!(refused.state, RunState::Undone);
    let failure = refused.error.unwrap().failure;
    assert_eq!((failure.code(), failure.error.maybe_applied), (Code::AlreadyExists, false));
    assert_eq!(house.counts().await, [1; 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_store_is_away_nothing_is_left_in_the_others() {
    let Some(house) = House::open("whichever_store_is_away_nothing_is_left_in_the_others").await else {
        return;
    };
    house.done("create-user", person("ada")).await;
    house.done("get-user", json!({ "id": 1 })).await;
    let before = house.counts().await;
    let stores = [
        ("users", "user"),
        ("preferences", "preferences"),
        ("sessions", "session"),
        ("search", "entry"),
        ("messages", "welcome"),
    ];
    for (store, step) in stores {
        let lost = house.without(store, "create-user", person("grace")).await;
        assert_eq!(lost.state, RunState::Undone, "{store}: {lost:#?}");
        let error = lost.error.as_ref().unwrap();
        assert_eq!((error.step.as_str(), error.failure.code()), (step, Code::Unavailable), "{lost:#?}");
        let others = lost.steps.iter().filter(|other| other.name != step).map(|other| other.state);
        let expected = if store == "users" { StepState::NotRun } else { StepState::Undone };
        assert!(others.clone().all(|state| state == expected), "{store}: {lost:#?}");
        assert_eq!(house.counts().await, before, "{store}");
    }
    house.done("create-user", person("grace")).await;
    assert_eq!(house.counts().await, [2; 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_fails_puts_back_what_was_there() {
    let Some(house) = House::open("a_deletion_that_fails_puts_back_what_was_there").await else { return };
    house.done("create-user", person("ada")).await;
    for welcomed in [false, true] {
        if welcomed {
            house.done("process-welcome", json!({})).await;
        }
        let (before, counts) = (house.all_of(1).await, house.counts().await);
        // The queue is asked last, when everything else is deleted.
        let failed = house.without("messages", "delete-user", json!({ "id": 1 })).await;
        assert_eq!(failed.state, RunState::Undone, "{failed:#?}");
        assert_eq!(failed.error.unwrap().step, "welcome");
        assert_eq!(house.all_of(1).await, before);
        assert_eq!(house.counts().await, counts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_leaves_everything_as_it_was() {
    let Some(house) = House::open("a_change_that_fails_leaves_everything_as_it_was").await else { return };
    house.done("create-user", person("ada")).await;
    let change =
        json!({ "id": 1, "full_name": "Countess", "bio": "looms", "theme": "dark", "notifications": false });
    let before = house.all_of(1).await;
    for (store, step) in [("users", "before"), ("search", "entry"), ("sessions", "session")] {
        let failed = house.without(store, "update-user", change.clone()).await;
        assert_eq!(failed.state, RunState::Undone, "{store}: {failed:#?}");
        assert_eq!(failed.error.unwrap().step, step);
        assert_eq!(house.all_of(1).await, before, "{store}");
    }
    house.done("update-user", change).await;
    assert_ne!(house.all_of(1).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_holds_flow_steps_calls_and_undo_and_links_to_the_sender() {
    let Some(house) = House::open("one_trace_holds_flow_steps_calls_and_undo_and_links_to_the_sender").await
    else {
        return;
    };
    let made = house.done("create-user", person("ada")).await;
    let sent = made.trace_id.unwrap();
    let processed = house.done("process-welcome", json!({})).await;
    let trace = house.telemetry.trace(&processed.trace_id.unwrap()).unwrap();
    let by_name = |name: &str| trace.spans.iter().find(|span| span.name == name);
    let process = by_name("process welcome_messages").unwrap();
    assert_eq!(process.kind, "consumer");
    assert!(process.links.iter().any(|link| link.starts_with(&format!("{sent}:"))), "{process:#?}");
    assert_eq!(process.parent_id, Some(by_name("flow process-welcome").unwrap().span_id.clone()));
    for step in ["step welcomed", "step done"] {
        assert_eq!(by_name(step).unwrap().parent_id.as_ref(), Some(&process.span_id), "{trace:#?}");
    }

    let lost = house.without("search", "create-user", person("grace")).await;
    let trace = house.telemetry.trace(&lost.trace_id.unwrap()).unwrap();
    let root = trace.spans.iter().find(|span| span.parent_id.is_none()).unwrap();
    assert_eq!((root.name.as_str(), root.error.is_some()), ("flow create-user", true));
    assert_eq!(root.attributes["chassis.outcome"], "undone");
    for (step, failed) in
        [("step user", false), ("step entry", true), ("undo user", false), ("undo welcome", false)]
    {
        let span = trace.spans.iter().find(|span| span.name == step).unwrap();
        assert_eq!((span.parent_id.as_ref(), span.error.is_some()), (Some(&root.span_id), failed), "{step}");
        let calls = trace.spans.iter().filter(|call| call.parent_id.as_ref() == Some(&span.span_id));
        assert_eq!(calls.count(), 1, "{step}: {trace:#?}");
    }
}
