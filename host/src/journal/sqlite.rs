//! The journal in a SQLite file: one host has it.

use super::group::Group;
use super::queries::{self, Texts, shared_queries, unreadable};
use super::record::{Batch, EntryRow, Filter, FlowVersion, Millis, RunRow, Turn, Verdict};
use super::settings::Durability;
use super::store::{Answer, Claim, Store, StoreError};
use super::{rows, schema};
use crate::flow::state::RunState;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use std::path::Path;
use std::time::Duration;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

/// A journal in a SQLite file.
pub struct SqliteStore {
    /// Everything is written by one connection: SQLite lets only one write at a time.
    writer: Mutex<Option<SqliteConnection>>,
    /// Reading waits for no write.
    reader: Mutex<Option<SqliteConnection>>,
    sql: Texts,
}

/// The whole of a transaction in one text, so that it costs one exchange with the connection's thread, however much it writes.
const COMMIT: &str = "
BEGIN IMMEDIATE;
INSERT INTO chassis_runs (id, flow, version, tenant, key, body, state, input, context, parent, output, error, cancel,
        created, updated, ended, owner, fence)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9,
        value->>10, value->>11, value->>12, value->>13, value->>14, value->>15, value->>16, value->>17
    FROM jsonb_each(?) WHERE true ON CONFLICT DO NOTHING;
INSERT INTO chassis_entries (run_id, seq, kind, step, payload, at)
    SELECT e.value->>0, e.value->>2, e.value->>3, e.value->>4, e.value->>5, e.value->>6 FROM jsonb_each(?) AS e
    WHERE EXISTS (SELECT 1 FROM chassis_runs AS r WHERE r.id = e.value->>0 AND r.fence = e.value->>1)
    ON CONFLICT DO NOTHING;
UPDATE chassis_runs SET state = t.value->>2, output = t.value->>3, error = t.value->>4, updated = t.value->>5,
        ended = t.value->>6, owner = CASE WHEN t.value->>7 THEN NULL ELSE chassis_runs.owner END
    FROM jsonb_each(?) AS t WHERE chassis_runs.id = t.value->>0 AND chassis_runs.fence = t.value->>1;
SELECT r.id, r.fence FROM jsonb_each(?) AS w
    CROSS JOIN chassis_runs AS r ON r.id = w.value->>0 AND r.fence = w.value->>1;
COMMIT";

/// Runs deleted together with their entries.
const PRUNE: &str = "
BEGIN IMMEDIATE;
CREATE TEMP TABLE IF NOT EXISTS pruned (id TEXT NOT NULL PRIMARY KEY);
INSERT INTO pruned SELECT id FROM chassis_runs AS r WHERE ended < ? AND NOT EXISTS
    (SELECT 1 FROM chassis_runs AS p WHERE p.id = substr(r.parent, 1, 36) AND p.ended IS NULL) ORDER BY ended LIMIT ?;
DELETE FROM chassis_entries WHERE run_id IN (SELECT id FROM pruned);
DELETE FROM chassis_runs WHERE id IN (SELECT id FROM pruned);
SELECT count(*) FROM pruned;
DELETE FROM pruned;
COMMIT";

impl SqliteStore {
    /// Opens a file, or makes it. Whoever opens it must be alone with it, see [`super::Lock`]: what unfinished runs it has are
    /// free to be taken.
    pub async fn open(file: &Path, durability: Durability) -> Result<Self, StoreError> {
        let open = |error: sqlx::Error| StoreError::of("file cannot be opened, and so everything", error);
        let synchronous = match durability {
            Durability::Process => SqliteSynchronous::Normal,
            Durability::Power => SqliteSynchronous::Full,
        };
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        let mut writer = options.clone().connect().await.map_err(open)?;
        let migrated = schema::migrator().run(&mut writer).await;
        migrated.map_err(|error| {
            StoreError::of("cannot be brought to this build's tables, and so everything", error)
        })?;
        sqlx::raw_sql("UPDATE chassis_runs SET owner = NULL WHERE ended IS NULL")
            .execute(&mut writer)
            .await
            .map_err(open)?;
        let reader = options.connect().await.map_err(open)?;
        let sql = Texts::new("CAST(unixepoch('subsec') * 1000 AS INTEGER)", "value FROM json_each($2)", "");
        Ok(Self { writer: Mutex::new(Some(writer)), reader: Mutex::new(Some(reader)), sql })
    }

    async fn reading(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, StoreError> {
        connection(&self.reader).await
    }

    async fn writing(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, StoreError> {
        connection(&self.writer).await
    }
}

async fn connection(
    place: &Mutex<Option<SqliteConnection>>,
) -> Result<MappedMutexGuard<'_, SqliteConnection>, StoreError> {
    MutexGuard::try_map(place.lock().await, Option::as_mut)
        .map_err(|_| StoreError::of("file", "it is closed"))
}

/// Several statements in one text. One that fails in the middle leaves the transaction open.
async fn transaction(
    connection: &mut SqliteConnection,
    text: &'static str,
    values: Vec<Value>,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let mut query = sqlx::query(text);
    for value in values {
        query = match value {
            Value::Number(number) => query.bind(number.as_i64()),
            list => query.bind(list.to_string()),
        };
    }
    let done = query.fetch_all(&mut *connection).await;
    if done.is_err() {
        let _ = sqlx::raw_sql("ROLLBACK").execute(connection).await;
    }
    done
}

fn run_values(run: &RunRow) -> Value {
    json!([
        run.id,
        run.flow,
        run.version,
        run.tenant,
        run.key,
        run.body,
        run.state.as_str(),
        run.input,
        run.context,
        run.parent,
        run.output,
        run.error,
        run.cancel,
        run.created,
        run.updated,
        run.ended,
        run.owner,
        run.fence,
    ])
}

impl Store for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn commit<'a>(&'a self, batches: &'a [Batch]) -> Answer<'a, Vec<Verdict>> {
        Box::pin(async move {
            let group = Group::of(batches);
            let runs = group.runs.iter().map(run_values).collect();
            let entry = |(run, fence, entry): (&str, i64, &EntryRow)| {
                json!([run, fence, entry.seq, entry.kind, entry.step, entry.payload, entry.at])
            };
            let entries = group.entries().map(entry).collect();
            let turn = |(run, fence, turn): &(&str, i64, &Turn)| {
                let ended = turn.state.is_ended().then_some(turn.at);
                json!([
                    run,
                    fence,
                    turn.state.as_str(),
                    turn.output,
                    turn.error,
                    turn.at,
                    ended,
                    turn.release
                ])
            };
            let turns = group.turns.iter().map(turn).collect();
            let writers = group.writers.iter().map(|(run, fence)| json!([run, fence])).collect();
            let mut connection = self.writing().await?;
            let rows = transaction(&mut connection, COMMIT, vec![runs, entries, turns, writers]).await;
            let held =
                rows.and_then(|rows| rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect());
            Ok(group.verdicts(&held.map_err(|error| StoreError::of("write", error))?))
        })
    }

    shared_queries!();

    fn prune(&self, before: Millis, limit: u32) -> Answer<'_, u64> {
        Box::pin(async move {
            let failed = |error| StoreError::of("pruning", error);
            let mut connection = self.writing().await?;
            let rows = transaction(&mut connection, PRUNE, vec![json!(before), json!(limit)])
                .await
                .map_err(failed)?;
            let pruned: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(failed)?;
            sqlx::query(AssertSqlSafe(self.sql.forget_hosts.clone()))
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
            // Gives the file system back what is free, a part at a time, so that writers need not wait long.
            sqlx::raw_sql("PRAGMA incremental_vacuum(256)")
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
            Ok(u64::try_from(pruned).unwrap_or_default())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for place in [&self.reader, &self.writer] {
                let connection = place.lock().await.take();
                if let Some(connection) = connection
                    && let Err(error) = connection.close().await
                {
                    tracing::warn!(%error, "the journal was not closed well");
                }
            }
        })
    }
}
