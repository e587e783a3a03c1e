//! The journal in Postgres: several hosts share it.

use super::group::Group;
use super::queries::{self, Texts, shared_queries, unreadable};
use super::record::{Batch, EntryRow, Filter, FlowVersion, Millis, RunRow, Verdict};
use super::store::{Answer, Claim, Store, StoreError};
use super::{rows, schema};
use crate::flow::state::RunState;
use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool, Postgres};
use std::str::FromStr;
use std::time::Duration;

/// A journal in Postgres.
pub struct PostgresStore {
    /// For the writer and the lease, which no crowd of readers may keep waiting: a host that cannot renew loses its runs.
    own: PgPool,
    pool: PgPool,
    sql: Texts,
}

/// The whole of a transaction in one statement, so that it costs one round trip. A run's row is locked before its fence is compared: a
/// host that takes it over waits, or has been before and is seen.
const COMMIT: &str = "
WITH begun AS (
    INSERT INTO chassis_runs (id, flow, version, tenant, key, body, state, input, context, parent, output, error, created,
        updated, ended, owner, fence)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[], $16::text[],
        $17::bigint[])
    ON CONFLICT DO NOTHING RETURNING id, fence
), had AS (
    SELECT r.id, r.fence FROM chassis_runs AS r WHERE (r.id, r.fence) IN
        (SELECT * FROM unnest($18::text[], $19::bigint[])) ORDER BY r.id FOR NO KEY UPDATE
), held AS (
    SELECT id, fence FROM begun UNION SELECT id, fence FROM had
), told AS (
    INSERT INTO chassis_entries (run_id, seq, kind, step, payload, at)
    SELECT e.run, e.seq, e.kind, e.step, e.payload, e.at
    FROM unnest($20::text[], $21::bigint[], $22::bigint[], $23::text[], $24::text[], $25::text[], $26::bigint[])
        AS e(run, fence, seq, kind, step, payload, at)
    JOIN held ON held.id = e.run AND held.fence = e.fence ON CONFLICT DO NOTHING
), turned AS (
    UPDATE chassis_runs AS r SET state = t.state, output = t.output, error = t.error, updated = t.at, ended = t.ended,
        owner = CASE WHEN t.release THEN NULL ELSE r.owner END
    FROM unnest($27::text[], $28::bigint[], $29::text[], $30::text[], $31::text[], $32::bigint[], $33::bigint[], $34::bool[])
        AS t(run, fence, state, output, error, at, ended, release)
    JOIN had ON had.id = t.run AND had.fence = t.fence WHERE r.id = t.run
)
SELECT id, fence FROM held";

const PRUNE: &str = "
WITH old AS (
    SELECT r.id FROM chassis_runs AS r WHERE r.ended < $1 AND NOT EXISTS
        (SELECT 1 FROM chassis_runs AS p WHERE p.id = substr(r.parent, 1, 36))
    ORDER BY r.ended LIMIT $2 FOR UPDATE OF r SKIP LOCKED
), entries AS (
    DELETE FROM chassis_entries USING old WHERE run_id = old.id
)
DELETE FROM chassis_runs AS r USING old WHERE r.id = old.id";

/// One writes, the other keeps the lease.
const OWN: u32 = 2;
/// For those who look how a run stands, however many they are.
const READERS: u32 = 3;
const ACQUIRE: Duration = Duration::from_secs(2);

impl PostgresStore {
    /// Connects, and brings the database to this build's tables.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let failed =
            |error: sqlx::Error| StoreError::of("database cannot be opened, and so everything", error);
        let options = PgConnectOptions::from_str(url).map_err(failed)?;
        let options = options.application_name("chassis journal").disable_statement_logging();
        let pool_of = |connections| {
            // A connection that broke fails its first statement, and that is tried again.
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE)
                .test_before_acquire(false)
        };
        let own = pool_of(OWN).connect_with(options.clone()).await.map_err(failed)?;
        let pool = pool_of(READERS).connect_lazy_with(options);
        let migrated = schema::migrator().run(&own).await;
        migrated.map_err(|error| {
            StoreError::of("cannot be brought to this build's tables, and so everything", error)
        })?;
        let now = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
        let mine = "json_array_elements_text(CAST($2 AS json))";
        Ok(Self { own, pool, sql: Texts::new(now, mine, "FOR UPDATE OF r SKIP LOCKED") })
    }

    async fn reading(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.pool.acquire().await.map_err(|error| StoreError::of("connection", error))
    }

    async fn writing(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.own.acquire().await.map_err(|error| StoreError::of("connection", error))
    }
}

/// A column of a table.
fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

impl Store for PostgresStore {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn commit<'a>(&'a self, batches: &'a [Batch]) -> Answer<'a, Vec<Verdict>> {
        Box::pin(async move {
            let group = Group::of(batches);
            let (runs, turns, writers) = (&group.runs, &group.turns, &group.writers);
            let entries: Vec<_> = group.entries().collect();
            let query = sqlx::query_as(COMMIT)
                .bind(column(runs, |run| &*run.id))
                .bind(column(runs, |run| &*run.flow))
                .bind(column(runs, |run| &*run.version))
                .bind(column(runs, |run| &*run.tenant))
                .bind(column(runs, |run| run.key.as_deref()))
                .bind(column(runs, |run| &*run.body))
                .bind(column(runs, |run| run.state.as_str()))
                .bind(column(runs, |run| &*run.input))
                .bind(column(runs, |run| &*run.context))
                .bind(column(runs, |run| run.parent.as_deref()))
                .bind(column(runs, |run| run.output.as_deref()))
                .bind(column(runs, |run| run.error.as_deref()))
                .bind(column(runs, |run| run.created))
                .bind(column(runs, |run| run.updated))
                .bind(column(runs, |run| run.ended))
                .bind(column(runs, |run| run.owner.as_deref()))
                .bind(column(runs, |run| run.fence))
                .bind(column(writers, |writer| writer.0))
                .bind(column(writers, |writer| writer.1))
                .bind(column(&entries, |entry| entry.0))
                .bind(column(&entries, |entry| entry.1))
                .bind(column(&entries, |entry| entry.2.seq))
                .bind(column(&entries, |entry| &*entry.2.kind))
                .bind(column(&entries, |entry| entry.2.step.as_deref()))
                .bind(column(&entries, |entry| &*entry.2.payload))
                .bind(column(&entries, |entry| entry.2.at))
                .bind(column(turns, |turn| turn.0))
                .bind(column(turns, |turn| turn.1))
                .bind(column(turns, |turn| turn.2.state.as_str()))
                .bind(column(turns, |turn| turn.2.output.as_deref()))
                .bind(column(turns, |turn| turn.2.error.as_deref()))
                .bind(column(turns, |turn| turn.2.at))
                .bind(column(turns, |turn| turn.2.state.is_ended().then_some(turn.2.at)))
                .bind(column(turns, |turn| turn.2.release));
            let mut connection = self.writing().await?;
            let held: Vec<(String, i64)> =
                query.fetch_all(&mut *connection).await.map_err(|error| StoreError::of("write", error))?;
            Ok(group.verdicts(&held.into_iter().collect()))
        })
    }

    shared_queries!();

    fn prune(&self, before: Millis, limit: u32) -> Answer<'_, u64> {
        Box::pin(async move {
            let failed = |error| StoreError::of("pruning", error);
            let mut connection = self.writing().await?;
            let query = sqlx::query(PRUNE).bind(before).bind(i64::from(limit));
            let pruned = query.execute(&mut *connection).await.map_err(failed)?.rows_affected();
            let forget = sqlx::query(AssertSqlSafe(self.sql.forget_hosts.clone()));
            forget.execute(&mut *connection).await.map_err(failed)?;
            Ok(pruned)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.pool.close().await;
            self.own.close().await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_crowd_of_readers_costs_no_host_its_lease() {
        let Ok(url) = std::env::var("CHASSIS_POSTGRES_URL") else {
            println!("skipped: a_crowd_of_readers_costs_no_host_its_lease: CHASSIS_POSTGRES_URL is not set");
            return;
        };
        let store = PostgresStore::open(&url).await.unwrap();
        let mut readers = Vec::new();
        for _ in 0..store.pool.options().get_max_connections() {
            readers.push(store.reading().await.unwrap());
        }
        store.renew("crowded", "crowded", 1_000).await.unwrap();
        store.commit(&[]).await.unwrap();
        store.release("crowded").await.unwrap();
        drop(readers);
        store.close().await;
    }
}
