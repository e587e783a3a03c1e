//! Journals for tests: one in memory, one in a SQLite file, and one in Postgres where a server is there.
#![allow(dead_code, clippy::unwrap_used)]

use chassis::flow::RunState;
use chassis::journal::{
    Batch, Durability, EntryRow, Journal, MemoryStore, PostgresStore, RunRow, SqliteStore, Store, Turn,
};
use std::sync::Arc;
use std::time::Duration;

/// A store, and what keeps it.
pub struct Kept {
    pub store: Arc<dyn Store>,
    pub url: String,
    folder: Option<tempfile::TempDir>,
}

impl Kept {
    pub fn memory() -> Self {
        Self { store: Arc::new(MemoryStore::new()), url: "memory".to_owned(), folder: None }
    }

    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.db");
        let store = SqliteStore::open(&file, Durability::Process).await.unwrap();
        Self { store: Arc::new(store), url: format!("sqlite:{}", file.display()), folder: Some(folder) }
    }

    /// In a schema of its own; `None` without a server, and the test says so.
    pub async fn postgres(test: &str) -> Option<Self> {
        let url = schema(test).await?;
        let store = PostgresStore::open(&url).await.unwrap();
        Some(Self { store: Arc::new(store), url, folder: None })
    }

    /// The journal of a host.
    pub fn journal(&self, host: &str) -> Journal {
        Journal::over(self.store.clone(), host, Duration::from_secs(3))
    }
}

/// The address of a new schema on the real server.
pub async fn schema(test: &str) -> Option<String> {
    let Ok(url) = std::env::var("CHASSIS_POSTGRES_URL") else {
        println!("skipped: {test}: CHASSIS_POSTGRES_URL is not set");
        return None;
    };
    let name = format!("journal_{}", uuid::Uuid::new_v4().simple());
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}")))
        .execute(&mut connection)
        .await
        .unwrap();
    let joint = if url.contains('?') { '&' } else { '?' };
    Some(format!("{url}{joint}options=-csearch_path%3D{name}"))
}

/// A run's row.
pub fn row(id: &str, key: Option<&str>) -> RunRow {
    RunRow {
        id: Arc::from(id),
        flow: "create-user".to_owned(),
        version: "v1".to_owned(),
        tenant: String::new(),
        key: key.map(str::to_owned),
        body: "body".to_owned(),
        state: RunState::Running,
        input: r#"{"a":"é \" \u0000"}"#.to_owned(),
        context: "{}".to_owned(),
        parent: None,
        output: None,
        error: None,
        cancel: None,
        created: 1_000,
        updated: 1_000,
        ended: None,
        owner: Some("host".to_owned()),
        fence: 1,
    }
}

/// An entry that says little.
pub fn entry(seq: i64) -> EntryRow {
    let payload = r#"{"call":"a.b","input":{"text":"é \" \\ \u0000"}}"#.to_owned();
    EntryRow {
        seq,
        kind: "step_started".to_owned(),
        step: Some(Arc::from("first")),
        payload,
        at: 1_000 + seq,
    }
}

/// The first batch of a run.
pub fn begin(row: &RunRow, entries: Vec<EntryRow>) -> Batch {
    Batch { run: row.id.clone(), fence: row.fence, new: Some(Box::new(row.clone())), entries, turn: None }
}

/// A later batch.
pub fn then(row: &RunRow, entries: Vec<EntryRow>, state: Option<RunState>) -> Batch {
    let turn = state.map(|state| Turn {
        state,
        output: Some("{\"id\":1}".to_owned()),
        error: None,
        at: 5_000,
        release: state.is_ended() || state == RunState::Stuck,
    });
    Batch { run: row.id.clone(), fence: row.fence, new: None, entries, turn }
}
