//! Journals that earlier builds wrote, kept in `fixtures/journals`: today's build reads each as it was read then, and goes on from
//! each entry of it. A file is never changed: what no longer reads is a mistake of today's build.
//!
//! The same are made anew each time; with `CHASSIS_KEEP_JOURNALS=1` they are kept beside those that are there.
#![allow(clippy::unwrap_used)]

mod death_support;
mod family_support;
mod flow_support;
mod journal_support;

use chassis::flow::{Flow, FlowSet, RunState, Start};
use chassis::journal::{Batch, EntryRow, Event, FlowVersion, MemoryStore, Point, RunRow, Store};
use death_support::{DieAt, all, dies, goes_on, history, host, is_whole};
use family_support::{backends, family};
use flow_support::{Fault, Script};
use journal_support::Kept;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A journal, and what the build that wrote it made of it.
#[derive(Serialize, Deserialize)]
struct Fixture {
    flows: Vec<FlowVersion>,
    runs: Vec<Journalled>,
}

#[derive(Serialize, Deserialize)]
struct Journalled {
    row: RunRow,
    entries: Vec<EntryRow>,
    shown: Value,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journals")
}

fn fixtures(folder: &Path) -> Vec<(String, Fixture)> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &PathBuf| serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    files.iter().map(|file| (file.file_stem().unwrap().to_string_lossy().into_owned(), read(file))).collect()
}

/// Puts a journal into a store, its first run with this many entries.
async fn put(store: &dyn Store, fixture: &Fixture, first: usize) {
    for version in &fixture.flows {
        store.keep_version(version.clone()).await.unwrap();
    }
    for (at, run) in fixture.runs.iter().enumerate() {
        let (mut row, mut entries) = (run.row.clone(), run.entries.clone());
        if at == 0 && first < entries.len() {
            entries.truncate(first);
            (row.ended, row.owner, row.cancel, row.error, row.output) = (None, None, None, None, None);
            row.state = told(fixture, &entries);
        }
        let batch =
            Batch { run: row.id.clone(), fence: row.fence, new: Some(Box::new(row)), entries, turn: None };
        store.commit(&[batch]).await.unwrap();
    }
}

/// How the first run stands after these entries.
fn told(fixture: &Fixture, entries: &[EntryRow]) -> RunState {
    let mut history = chassis::journal::History::new([]);
    history.replay(entries).unwrap_or_else(|error| panic!("{}: {error}", fixture.runs[0].row.id));
    history.state
}

#[tokio::test]
async fn each_reads_as_it_was_read_when_it_was_written() {
    for (name, fixture) in fixtures(&folder()) {
        for Kept { store, .. } in [Kept::memory(), Kept::sqlite().await] {
            put(&*store, &fixture, usize::MAX).await;
            let engine = host(&FlowSet::default(), &Arc::new(Script::default()), store.clone(), "today");
            for run in &fixture.runs {
                let shown =
                    engine.runs().show(&run.row.id).await.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(serde_json::to_value(shown).unwrap(), run.shown, "{name}, {}", store.kind());
                assert_eq!(store.entries(run.row.id.to_string()).await.unwrap(), run.entries);
            }
            assert_eq!(engine.recover().await.unwrap(), 0, "{name}: it is over");
            store.close().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_is_gone_on_with_from_every_entry() {
    for (name, fixture) in fixtures(&folder()) {
        let whole = &fixture.runs[0];
        for length in 0..whole.entries.len() {
            let (store, script) = (MemoryStore::beginning(whole.row.updated), Arc::new(backends()));
            put(&store, &fixture, length).await;
            let engine = host(&FlowSet::default(), &script, Arc::new(store.clone()), "today");
            goes_on(&engine).await;
            engine.idle().await;
            let entries = store.entries(whole.row.id.to_string()).await.unwrap();
            let row = store.run(whole.row.id.to_string()).await.unwrap().unwrap();
            let case = format!("{name} from entry {length}: {row:?}");
            assert_eq!(entries[..length], whole.entries[..length], "{case}");
            // One that is stuck or over stays so until somebody comes.
            let was = told(&fixture, &whole.entries[..length]);
            if was.is_active() {
                assert!(row.state.is_ended(), "{case}");
                assert!(entries.len() > length + 1, "{case}");
            } else {
                assert_eq!((row.state, entries.len()), (was, length), "{case}");
            }
        }
    }
}

#[test]
fn every_kind_of_entry_and_every_end_is_among_them() {
    let fixtures = fixtures(&folder());
    let runs = || fixtures.iter().flat_map(|(_, fixture)| &fixture.runs);
    let kinds: BTreeSet<&str> =
        runs().flat_map(|run| &run.entries).map(|entry| entry.kind.as_str()).collect();
    let missing: Vec<_> = Event::KINDS.iter().filter(|kind| !kinds.contains(*kind)).collect();
    assert!(missing.is_empty(), "no journal has {missing:?}: make one that does, see above");
    let states: BTreeSet<&str> = runs().map(|run| run.row.state.as_str()).collect();
    assert_eq!(states, BTreeSet::from(["cancelled", "completed", "stuck", "undone"]));
    let units = || runs().flat_map(|run| &run.entries).filter_map(|entry| entry.step.as_deref());
    assert!(units().any(|unit| unit == "each[1]"), "an item of a list");
    assert!(runs().any(|run| run.row.parent.is_some()), "a flow within a flow");
}

/// Writes a journal down, under a name that is free.
async fn keep(folder: &Path, name: &str, flows: &FlowSet, store: &MemoryStore, script: &Arc<Script>) {
    let engine = host(flows, script, Arc::new(store.clone()), "teller");
    let mut fixture = Fixture { flows: Vec::new(), runs: Vec::new() };
    for flow in flows.iter() {
        let version = FlowVersion {
            hash: flow.version.to_string(),
            name: flow.name.clone(),
            text: flow.text.to_string(),
        };
        assert_eq!(*Flow::parse(&version.name, "", &version.text).unwrap().version, version.hash);
        fixture.flows.push(version);
    }
    for (row, entries) in all(store).await {
        history(flows, &row, &entries);
        let shown = serde_json::to_value(engine.runs().show(&row.id).await.unwrap()).unwrap();
        fixture.runs.push(Journalled { row, entries, shown });
    }
    let file =
        (1..).map(|number| folder.join(format!("{name}-{number}.json"))).find(|file| !file.exists()).unwrap();
    std::fs::write(file, serde_json::to_string_pretty(&fixture).unwrap() + "\n").unwrap();
}

#[tokio::test(start_paused = true)]
async fn todays_build_writes_such_journals() {
    let away = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("CHASSIS_KEEP_JOURNALS").map(|_| folder());
    make(kept.as_deref().unwrap_or(away.path())).await;
    let kinds = |fixtures: &[(String, Fixture)]| -> BTreeSet<String> {
        let runs = fixtures.iter().flat_map(|(_, fixture)| &fixture.runs);
        runs.flat_map(|run| &run.entries).map(|entry| entry.kind.clone()).collect()
    };
    if kept.is_none() {
        assert_eq!(kinds(&fixtures(away.path())), kinds(&fixtures(&folder())));
    }
}

/// Makes one journal of each kind.
async fn make(folder: &Path) {
    let flows = family();
    let input = || json!({ "ids": [1, 2] });
    for (name, faults, end) in [
        ("completed", vec![("c.make", Fault::LostAfter)], RunState::Completed),
        ("undone", vec![("d.make", Fault::LostAfter)], RunState::Undone),
        ("cancelled", vec![], RunState::Cancelled),
        ("stuck", vec![("d.make", Fault::LostAfter), ("e.drop", Fault::LostBefore)], RunState::Stuck),
        ("skipped", vec![("d.make", Fault::LostAfter), ("a.drop", Fault::LostBefore)], RunState::Undone),
    ] {
        let (store, script) = (MemoryStore::new(), Arc::new(backends()));
        faults.into_iter().for_each(|(call, fault)| script.fail(call, fault));
        let engine = host(&flows, &script, Arc::new(store.clone()), "maker");
        let started = engine.start("test", input(), Start::default()).await.unwrap();
        let id = started.run_id().to_owned();
        if name == "cancelled" {
            tokio::time::sleep(Duration::from_millis(4)).await;
            engine.runs().cancel(&id, "a mistake").await.unwrap();
        }
        started.outcome().await.unwrap();
        if name == "skipped" {
            engine.runs().skip(&id, None).await.unwrap();
            engine.idle().await;
        }
        assert_eq!(engine.runs().show(&id).await.unwrap().summary.state, end, "{name}");
        keep(folder, name, &flows, &store, &script).await;
    }
    // A death at a moment at which a step is asked again, and one at which it cannot be.
    for (name, end) in [("taken", RunState::Completed), ("given-up", RunState::Undone)] {
        for count in 1.. {
            let (store, script) = (MemoryStore::new(), Arc::new(backends()));
            let first = host(&flows, &script, Arc::new(store.clone()), "maker");
            assert!(dies(&first, input(), &DieAt::new(Point::AfterCommit, count)).await, "{name}");
            goes_on(&host(&flows, &script, Arc::new(store.clone()), "heir")).await;
            let runs = all(&store).await;
            let is_repeated = runs[0].1.iter().any(|entry| entry.kind == "step_repeated");
            if is_whole(&flows, &runs, &script) == Some(end) && (is_repeated || end == RunState::Undone) {
                keep(folder, name, &flows, &store, &script).await;
                break;
            }
        }
    }
}
