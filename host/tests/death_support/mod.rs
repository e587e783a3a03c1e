//! The sudden death of a host at a write of its journal, and what the next host makes of what it left.
#![allow(dead_code, clippy::unwrap_used)]

use crate::flow_support::Script;
use chassis::flow::trace::Spans;
use chassis::flow::{Engine, Flow, FlowSet, RunState, Start, StepState};
use chassis::journal::{EntryRow, Fate, Filter, History, Journal, Point, Probe, RunRow, Store};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Ends a host at a write.
pub struct DieAt {
    point: Point,
    count: u64,
    died: AtomicBool,
    dies: Notify,
}

impl DieAt {
    pub fn new(point: Point, count: u64) -> Arc<Self> {
        Arc::new(Self { point, count, died: AtomicBool::new(false), dies: Notify::new() })
    }

    /// Waits for the death.
    pub async fn dead(&self) {
        self.dies.notified().await;
    }

    pub fn died(&self) -> bool {
        self.died.load(Ordering::Relaxed)
    }
}

impl Probe for DieAt {
    fn at(&self, point: Point, count: u64) -> Fate {
        if point != self.point || count != self.count {
            return Fate::Live;
        }
        self.died.store(true, Ordering::Relaxed);
        self.dies.notify_one();
        Fate::Die
    }
}

pub fn host(flows: &FlowSet, script: &Arc<Script>, store: Arc<dyn Store>, name: &str) -> Engine {
    let journal = Journal::over(store, name, Duration::from_secs(3));
    Engine::with_journal(flows.clone(), script.clone(), Spans::default(), journal)
}

/// Runs the flow `test` on a host that dies at a write; false if it ended before that.
pub async fn dies(engine: &Engine, input: Value, probe: &Arc<DieAt>) -> bool {
    assert!(engine.journal().observe(probe.clone()));
    let run = async {
        let started = engine.start("test", input, Start::default()).await?;
        started.outcome().await
    };
    tokio::select! {
        biased;
        () = probe.dead() => {}
        _ = run => assert!(!probe.died(), "who dies answers nobody"),
    }
    // What had been sent when it died arrives all the same, or not: its caller is gone.
    engine.abandon();
    engine.idle().await;
    probe.died()
}

/// The next host takes what is left: at once, or when the dead one's lease has ended.
pub async fn goes_on(engine: &Engine) {
    let store = engine.journal().store();
    for _ in 0..10 {
        engine.recover().await.unwrap();
        engine.idle().await;
        let runs = store.list(Filter { limit: 10_000, ..Filter::default() }).await.unwrap();
        if !runs.iter().any(|run| run.state.is_active()) {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("there are runs that nobody takes");
}

/// Every run of a journal with its entries, the oldest first.
pub async fn all(store: &dyn Store) -> Vec<(RunRow, Vec<EntryRow>)> {
    let mut rows = store.list(Filter { limit: 10_000, ..Filter::default() }).await.unwrap();
    rows.reverse();
    let mut runs = Vec::new();
    for row in rows {
        let entries = store.entries(row.id.to_string()).await.unwrap();
        runs.push((row, entries));
    }
    runs
}

/// A run as its entries tell it, from the first step of its flow.
pub fn history(flows: &FlowSet, row: &RunRow, entries: &[EntryRow]) -> History {
    let flow: &Flow = flows.get(&row.flow).unwrap();
    let steps = flow.steps.iter().map(|step| (step.name.as_str(), step.work.to_string()));
    let mut history = History::new(steps);
    history.replay(entries).unwrap();
    assert_eq!(history.state, row.state, "the row says what the entries say");
    history
}

/// That what the runs of a journal left behind is what their journals say: nothing of one that was undone, all of one that
/// completed, and no part of a run without the whole. An effect is named by its call's input. Answers how the first run ended.
pub fn is_whole(flows: &FlowSet, runs: &[(RunRow, Vec<EntryRow>)], script: &Script) -> Option<RunState> {
    let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
    let states: BTreeMap<&str, RunState> = runs.iter().map(|(row, _)| (&*row.id, row.state)).collect();
    for (row, entries) in runs {
        let history = history(flows, row, entries);
        if let Some(parent) = row.parent.as_deref().and_then(|parent| parent.split('/').next())
            && states[parent] != RunState::Completed
        {
            assert_ne!(row.state, RunState::Completed, "a part of {parent} is left: {}", row.id);
        }
        assert!(row.state.is_ended(), "{row:?}");
        for step in history.steps.iter().filter(|_| row.state == RunState::Completed) {
            let mark = format!("{} {}", step.call, step.input["mark"].as_str().unwrap_or_default());
            match step.state {
                StepState::Completed if step.input.is_object() && !step.call.starts_with("flow ") => {
                    must.insert(mark)
                }
                StepState::MaybeApplied => may.insert(mark),
                _ => false,
            };
        }
    }
    let marks: BTreeSet<String> = script.marks().into_iter().collect();
    assert!(must.is_subset(&marks), "missing: {:?}", must.difference(&marks).collect::<Vec<_>>());
    may.extend(must);
    assert!(marks.is_subset(&may), "orphans: {:?}", marks.difference(&may).collect::<Vec<_>>());
    let log = script.log.lock().unwrap();
    let mut keys: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for called in log.iter() {
        keys.entry(called.key.as_str()).or_default().push(&called.input);
        if called.call.ends_with(".make") {
            assert_eq!(keys[called.key.as_str()].len(), 1, "what is not repeatable is sent once: {called:?}");
        }
    }
    for (key, inputs) in keys {
        assert!(inputs.iter().all(|input| *input == inputs[0]), "{key}: the same key, the same input");
    }
    runs.first().map(|(row, _)| row.state)
}
