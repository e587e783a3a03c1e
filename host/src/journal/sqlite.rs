//! The journal in a SQLite file: one host has it.

use super::group::Group;
use super::queries::{self, Texts, shared_queries, unreadable};
use super::record::{Batch, EntryRow, Filter, FlowVersion, Millis, RunRow, Verdict};
use super::settings::Durability;
use super::standing::{Standing, refuse_half};
use super::store::{Answer, Claim, Store, StoreError};
use super::{rows, schema};
use crate::flow::state::RunState;
use futures_util::future::BoxFuture;
use serde::ser::{Serialize, SerializeSeq, Serializer};
use sqlx::sqlite::{
    SqliteArguments, SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Row};
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
    standing: Standing,
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
    (SELECT 1 FROM chassis_runs AS p WHERE p.id = substr(r.parent, 1, 36)) ORDER BY ended LIMIT ?;
DELETE FROM chassis_entries WHERE run_id IN (SELECT id FROM pruned);
DELETE FROM chassis_runs WHERE id IN (SELECT id FROM pruned);
SELECT count(*) FROM pruned;
DELETE FROM pruned;
COMMIT";

impl SqliteStore {
    /// Opens a file, or makes it. Whoever opens it must be alone with it, see [`super::Lock`]: what unfinished runs it has are
    /// free to be taken.
    pub async fn open(file: &Path, durability: Durability) -> Result<Self, StoreError> {
        const OPENING: &str = "file cannot be opened, and so everything";
        let open = |error: sqlx::Error| StoreError::of(OPENING, error);
        refuse_half(file).map_err(|reason| StoreError::of(OPENING, reason))?;
        let synchronous = match durability {
            Durability::Process => SqliteSynchronous::Normal,
            Durability::Power => SqliteSynchronous::Full,
        };
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            // Pages that change often are copied back less often: 16 MiB instead of 4.
            .pragma("wal_autocheckpoint", "4000")
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
        let standing = Standing::of(file).map_err(|error| StoreError::of(OPENING, error))?;
        Ok(Self { writer: Mutex::new(Some(writer)), reader: Mutex::new(Some(reader)), sql, standing })
    }

    async fn reading(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, StoreError> {
        connection(&self.reader).await
    }

    async fn writing(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, StoreError> {
        let connection = connection(&self.writer).await?;
        // Of one that is closed there is no log any more.
        self.standing()?;
        Ok(connection)
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
    values: SqliteArguments,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let query = sqlx::query_with(text, values);
    let done = query.fetch_all(&mut *connection).await;
    if done.is_err() {
        let _ = sqlx::raw_sql("ROLLBACK").execute(connection).await;
    }
    done
}

/// A run's row as a list, in the order of [`rows::RUN`]. Written without a JSON value between: every write of every run comes here.
struct RunCells<'a>(&'a RunRow);

impl Serialize for RunCells<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let run = self.0;
        let mut cells = serializer.serialize_seq(Some(18))?;
        for text in [&*run.id, &run.flow, &run.version, &run.tenant] {
            cells.serialize_element(text)?;
        }
        cells.serialize_element(&run.key)?;
        for text in [&*run.body, run.state.as_str(), &run.input, &run.context] {
            cells.serialize_element(text)?;
        }
        for text in [&run.parent, &run.output, &run.error, &run.cancel] {
            cells.serialize_element(text)?;
        }
        cells.serialize_element(&run.created)?;
        cells.serialize_element(&run.updated)?;
        cells.serialize_element(&run.ended)?;
        cells.serialize_element(&run.owner)?;
        cells.serialize_element(&run.fence)?;
        cells.end()
    }
}

/// A JSON list of what an iterator gives.
fn list<T: Serialize>(items: impl Iterator<Item = T>) -> String {
    let mut text = Vec::with_capacity(1024);
    text.push(b'[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            text.push(b',');
        }
        // Texts and whole numbers always have their JSON.
        let _ = serde_json::to_writer(&mut text, &item);
    }
    text.push(b']');
    String::from_utf8(text).unwrap_or_default()
}

impl Store for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn standing(&self) -> Result<(), StoreError> {
        self.standing.check().map_err(|reason| StoreError::of("write", reason))
    }

    fn commit<'a>(&'a self, batches: &'a [Batch]) -> Answer<'a, Vec<Verdict>> {
        Box::pin(async move {
            let group = Group::of(batches);
            let entries = group.entries().map(|(run, fence, entry)| {
                (run, fence, entry.seq, &entry.kind, &entry.step, &entry.payload, entry.at)
            });
            let turns = group.turns.iter().map(|(run, fence, turn)| {
                let ended = turn.state.is_ended().then_some(turn.at);
                (run, fence, turn.state.as_str(), &turn.output, &turn.error, turn.at, ended, turn.release)
            });
            let runs = group.runs.iter().map(RunCells);
            let mut values = SqliteArguments::default();
            for list in [list(runs), list(entries), list(turns), list(group.writers.iter())] {
                values.add(list).map_err(|error| StoreError::of("write", error))?;
            }
            let mut connection = self.writing().await?;
            let rows = transaction(&mut connection, COMMIT, values).await;
            // What went away meanwhile is not durable; the same batch written again changes nothing.
            self.standing()?;
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
            let mut values = SqliteArguments::default();
            for value in [before, Millis::from(limit)] {
                values.add(value).map_err(|error| StoreError::of("pruning", error))?;
            }
            let rows = transaction(&mut connection, PRUNE, values).await.map_err(failed)?;
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
