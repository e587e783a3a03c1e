//! Runs that ended are kept for a while, and the journal's size stays bounded.
#![allow(clippy::unwrap_used)]

mod flow_support;
mod journal_support;

use chassis::flow::trace::Spans;
use chassis::flow::{Engine, RunState};
use chassis::journal::{Durability, Filter, Journal, SqliteStore};
use chassis::request::Context;
use flow_support::{shipped, stores};
use journal_support::{Kept, begin, entry, row, then};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn size(folder: &Path) -> u64 {
    std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

/// Runs create-user often, prunes, and answers the size of the files.
async fn round(folder: &Path, keep: Duration) -> u64 {
    let store = SqliteStore::open(&folder.join("journal.db"), Durability::Process).await.unwrap();
    let journal = Journal::over(Arc::new(store), "host", Duration::from_secs(3));
    let engine = Engine::with_journal(shipped(), Arc::new(stores()), Spans::default(), journal);
    let input = json!({ "email": "ada@example.org", "username": "ada", "full_name": "Ada" });
    let runs = (0..200).map(|_| engine.run("create-user", input.clone(), Context::default()));
    for outcome in futures_util::future::join_all(runs).await {
        assert_eq!(outcome.unwrap().state, RunState::Completed);
    }
    engine.journal().written().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let pruned = engine.prune(keep).await.unwrap();
    assert_eq!(pruned, if keep.is_zero() { 200 } else { 0 });
    engine.journal().close().await;
    size(folder)
}

#[tokio::test]
async fn a_file_grows_only_with_what_is_kept() {
    let (short, long) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut pruned, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        pruned.push(round(short.path(), Duration::ZERO).await);
        kept.push(round(long.path(), Duration::from_secs(3600)).await);
    }
    assert!(pruned[4] <= pruned[0] + pruned[0] / 4, "{pruned:?}");
    assert!(kept[4] > 3 * kept[0] && kept[4] > 3 * pruned[4], "{kept:?} {pruned:?}");
}

#[tokio::test]
async fn a_part_of_a_part_is_kept_as_long_as_the_whole() {
    let mut stores = vec![Kept::memory(), Kept::sqlite().await];
    stores.extend(Kept::postgres("a_part_of_a_part_is_kept_as_long_as_the_whole").await);
    for Kept { store, .. } in &stores {
        let id = |at: usize| format!("0192d0f0-0000-7000-8000-00000000000{at}");
        let runs: Vec<_> = (0..3)
            .map(|at| {
                let mut run = row(&id(at), None);
                run.parent = at.checked_sub(1).map(|parent| format!("{}/step", id(parent)));
                run
            })
            .collect();
        for run in &runs {
            store.commit(&[begin(run, vec![entry(1)])]).await.unwrap();
        }
        for run in &runs[1..] {
            store.commit(&[then(run, vec![entry(2)], Some(RunState::Completed))]).await.unwrap();
        }
        // The whole is still running: it may yet have its parts undone, and they theirs.
        assert_eq!(store.prune(6_000, 10).await.unwrap(), 0, "{}", store.kind());
        store.commit(&[then(&runs[0], vec![entry(2)], Some(RunState::Completed))]).await.unwrap();
        let mut pruned = Vec::new();
        while let Some(count) = Some(store.prune(6_000, 10).await.unwrap()).filter(|count| *count > 0) {
            pruned.push(count);
        }
        assert_eq!(pruned.iter().sum::<u64>(), 3, "{}: {pruned:?}", store.kind());
        assert!(store.list(Filter { limit: 10, ..Filter::default() }).await.unwrap().is_empty());
        store.close().await;
    }
}
