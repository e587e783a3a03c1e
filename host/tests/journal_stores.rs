//! The three stores of the journal do the same: each case runs on memory, on SQLite and, where there is one, on a Postgres.
#![allow(clippy::unwrap_used)]

mod journal_support;

use chassis::flow::RunState;
use chassis::journal::{Claim, Filter, FlowVersion, Store, Verdict};
use journal_support::{Kept, begin, entry, row, then};

async fn stores(test: &str) -> Vec<Kept> {
    let mut stores = vec![Kept::memory(), Kept::sqlite().await];
    stores.extend(Kept::postgres(test).await);
    stores
}

async fn verdicts(store: &dyn Store, batches: &[chassis::journal::Batch]) -> Vec<Verdict> {
    store.commit(batches).await.unwrap()
}

#[tokio::test]
async fn what_is_written_is_read_back_as_it_was() {
    for Kept { store, .. } in &stores("what_is_written_is_read_back_as_it_was").await {
        let (first, second) = (row("r-1", Some("k")), row("r-2", None));
        let batches = [
            begin(&first, vec![entry(1), entry(2)]),
            begin(&second, vec![entry(1)]),
            then(&second, vec![entry(2)], Some(RunState::Completed)),
        ];
        assert_eq!(verdicts(&**store, &batches).await, [Verdict::Written; 3], "{}", store.kind());
        assert_eq!(store.run("r-1".to_owned()).await.unwrap().as_ref(), Some(&first));
        assert_eq!(store.entries("r-1".to_owned()).await.unwrap(), [entry(1), entry(2)]);
        let ended = store.run("r-2".to_owned()).await.unwrap().unwrap();
        assert_eq!((ended.state, ended.ended, ended.owner), (RunState::Completed, Some(5_000), None));
        assert_eq!(ended.output.as_deref(), Some("{\"id\":1}"));
        assert_eq!(store.entries("r-2".to_owned()).await.unwrap().len(), 2);
        let later = [
            then(&first, vec![entry(3)], Some(RunState::Undoing)),
            then(&first, vec![entry(4)], Some(RunState::Undone)),
        ];
        assert_eq!(verdicts(&**store, &later).await, [Verdict::Written; 2]);
        let row = store.run("r-1".to_owned()).await.unwrap().unwrap();
        assert_eq!((row.state, row.ended), (RunState::Undone, Some(5_000)), "the last one counts");
        assert_eq!(store.entries("r-1".to_owned()).await.unwrap().len(), 4);
        store.close().await;
    }
}

#[tokio::test]
async fn a_key_is_taken_once_and_a_batch_written_twice_changes_nothing() {
    for Kept { store, .. } in &stores("a_key_is_taken_once_and_a_batch_written_twice_changes_nothing").await {
        let (first, second) = (row("r-1", Some("k")), row("r-2", Some("k")));
        let mut other = row("r-3", Some("k"));
        other.tenant = "acme".to_owned();
        let batches =
            [begin(&first, vec![entry(1)]), begin(&second, vec![entry(1)]), begin(&other, vec![entry(1)])];
        let expected = [Verdict::Written, Verdict::Duplicate, Verdict::Written];
        assert_eq!(verdicts(&**store, &batches).await, expected, "{}", store.kind());
        assert_eq!(verdicts(&**store, &batches).await, expected);
        assert!(store.entries("r-2".to_owned()).await.unwrap().is_empty());
        assert_eq!(store.entries("r-1".to_owned()).await.unwrap(), [entry(1)]);
        let found =
            store.run_of_key(first.flow.clone(), String::new(), "k".to_owned()).await.unwrap().unwrap();
        assert_eq!(found.id, first.id);
        let acme = store.run_of_key(first.flow.clone(), "acme".to_owned(), "k".to_owned()).await.unwrap();
        assert_eq!(acme.unwrap().id, other.id);
        store.close().await;
    }
}

#[tokio::test]
async fn a_host_that_dies_loses_its_runs_and_one_that_stalled_writes_nothing() {
    for Kept { store, .. } in
        &stores("a_host_that_dies_loses_its_runs_and_one_that_stalled_writes_nothing").await
    {
        store.renew("a", "host a", 60_000).await.unwrap();
        store.renew("b", "host b", 60_000).await.unwrap();
        let mut run = row("r-1", None);
        run.owner = Some("a".to_owned());
        assert_eq!(verdicts(&**store, &[begin(&run, vec![entry(1)])]).await, [Verdict::Written]);
        let claim = |host| Claim { host, own: &[], limit: 10 };
        assert!(store.claim(claim("b")).await.unwrap().is_empty(), "{}: a lives", store.kind());
        store.release("a").await.unwrap();
        let claimed = store.claim(claim("b")).await.unwrap();
        assert_eq!(claimed.len(), 1, "{}", store.kind());
        assert_eq!((claimed[0].owner.as_deref(), claimed[0].fence), (Some("b"), 2));
        assert!(store.claim(claim("a")).await.unwrap().is_empty(), "{}", store.kind());
        assert_eq!(verdicts(&**store, &[then(&run, vec![entry(2)], None)]).await, [Verdict::Lost]);
        assert_eq!(store.entries("r-1".to_owned()).await.unwrap().len(), 1);
        assert!(!store.holds("r-1".to_owned(), 1).await.unwrap());
        assert!(store.holds("r-1".to_owned(), 2).await.unwrap());
        // What it let go itself it may have again, and only that.
        let own = ["r-1".to_owned()];
        let again = store.claim(Claim { host: "b", own: &own, limit: 10 }).await.unwrap();
        assert_eq!(again[0].fence, 3);
        assert!(!store.seize("r-1".to_owned(), 2).await.unwrap());
        assert!(store.seize("r-1".to_owned(), 3).await.unwrap());
        assert_eq!(store.claim(claim("b")).await.unwrap()[0].fence, 5);
        // A stuck run is nobody's, until somebody mends it.
        run.fence = 5;
        verdicts(&**store, &[then(&run, vec![entry(2)], Some(RunState::Stuck))]).await;
        assert!(store.claim(claim("b")).await.unwrap().is_empty());
        assert_eq!(store.stuck().await.unwrap(), [("create-user".to_owned(), 1)]);
        store.close().await;
    }
}

#[tokio::test]
async fn runs_are_listed_by_page_cancelled_and_pruned() {
    for Kept { store, .. } in &stores("runs_are_listed_by_page_cancelled_and_pruned").await {
        store.renew("host", "host", 60_000).await.unwrap();
        let id = |at: usize| format!("0192d0f0-0000-7000-8000-00000000000{at}");
        for at in 0..6 {
            let mut run = row(&id(at), None);
            run.created = i64::try_from(at).unwrap();
            if at == 5 {
                run.parent = Some(format!("{}/step", id(4)));
            }
            let mut batches = vec![begin(&run, vec![entry(1)])];
            batches.extend((at != 4).then(|| then(&run, vec![entry(2)], Some(RunState::Completed))));
            verdicts(&**store, &batches).await;
        }
        let ids = |runs: Vec<chassis::journal::RunRow>| {
            runs.iter().map(|run| run.id.to_string()).collect::<Vec<_>>()
        };
        let page = Filter { limit: 2, ..Filter::default() };
        assert_eq!(ids(store.list(page.clone()).await.unwrap()), [id(5), id(4)], "{}", store.kind());
        let next = Filter { before: Some(id(4)), ..page.clone() };
        assert_eq!(ids(store.list(next).await.unwrap()), [id(3), id(2)]);
        let running =
            Filter { state: Some(RunState::Running), flow: Some("create-user".to_owned()), ..page.clone() };
        assert_eq!(ids(store.list(running).await.unwrap()), [id(4)]);
        let since = Filter { since: Some(5), ..page.clone() };
        assert_eq!(ids(store.list(since).await.unwrap()), [id(5)]);
        assert!(store.list(Filter { flow: Some("other".to_owned()), ..page }).await.unwrap().is_empty());

        assert!(store.cancel(id(4), "enough".to_owned()).await.unwrap());
        assert!(!store.cancel(id(3), "too late".to_owned()).await.unwrap());
        assert_eq!(store.renew("host", "host", 60_000).await.unwrap(), [(id(4), "enough".to_owned())]);

        assert_eq!(store.prune(5_000, 10).await.unwrap(), 0, "nothing is old enough");
        assert_eq!(store.prune(6_000, 3).await.unwrap(), 3, "{}", store.kind());
        assert_eq!(store.prune(6_000, 10).await.unwrap(), 1, "a part of a run that is not over stays");
        assert_eq!(ids(store.list(Filter { limit: 10, ..Filter::default() }).await.unwrap()), [id(5), id(4)]);
        assert!(store.entries(id(0)).await.unwrap().is_empty());
        assert_eq!(store.entries(id(4)).await.unwrap().len(), 1);
        store.close().await;
    }
}

#[tokio::test]
async fn versions_of_flows_are_kept_once() {
    for Kept { store, .. } in &stores("versions_of_flows_are_kept_once").await {
        let version =
            |text: &str| FlowVersion { hash: "h".to_owned(), name: "f".to_owned(), text: text.to_owned() };
        store.keep_version(version("first")).await.unwrap();
        store.keep_version(version("second")).await.unwrap();
        assert_eq!(store.version("h".to_owned()).await.unwrap(), Some(version("first")), "{}", store.kind());
        assert_eq!(store.version("g".to_owned()).await.unwrap(), None);
        store.close().await;
        if store.kind() != "memory" {
            assert!(store.version("h".to_owned()).await.is_err(), "{} is closed", store.kind());
        }
    }
}
