//! What both databases are asked in the same words. They differ in how they tell the time, lock a row, and read a list.

use super::rows;

/// A run by its id.
fn run() -> String {
    format!("SELECT {} FROM chassis_runs WHERE id = $1", rows::RUN)
}

/// A run by its key.
fn run_of_key() -> String {
    format!("SELECT {} FROM chassis_runs WHERE flow = $1 AND tenant = $2 AND key = $3", rows::RUN)
}

/// The entries of a run.
fn entries() -> String {
    format!("SELECT {} FROM chassis_entries WHERE run_id = $1 ORDER BY seq", rows::ENTRY)
}

/// Runs, newest first.
fn list() -> String {
    format!(
        "SELECT {} FROM chassis_runs WHERE (CAST($1 AS TEXT) IS NULL OR flow = $1) \
         AND (CAST($2 AS TEXT) IS NULL OR state = $2) AND (CAST($3 AS BIGINT) IS NULL OR created >= $3) \
         AND (CAST($4 AS TEXT) IS NULL OR id < $4) ORDER BY id DESC LIMIT $5",
        rows::RUN
    )
}

/// Active runs go to a host: those that nobody has, whose host is dead, or that it let go itself.
fn claim(now: &str, own: &str, lock: &str) -> String {
    format!(
        "UPDATE chassis_runs SET owner = $1, fence = fence + 1 WHERE id IN (\
         SELECT r.id FROM chassis_runs AS r WHERE r.ended IS NULL AND r.state IN ('running', 'undoing') AND (\
         r.owner IS NULL OR r.owner IN (SELECT h.id FROM chassis_hosts AS h WHERE h.lease_until < {now}) \
         OR (r.owner = $1 AND r.id IN (SELECT {own}))) ORDER BY r.id LIMIT $3 {lock}) RETURNING {}",
        rows::RUN
    )
}

/// A host lives.
fn renew(now: &str) -> String {
    format!(
        "INSERT INTO chassis_hosts (id, name, lease_until, started) VALUES ($1, $2, {now} + $3, {now}) \
         ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until"
    )
}

/// Hosts that nobody will miss.
fn forget_hosts(now: &str) -> String {
    format!(
        "DELETE FROM chassis_hosts WHERE lease_until < {now} - 86400000 \
         AND id NOT IN (SELECT owner FROM chassis_runs WHERE ended IS NULL AND owner IS NOT NULL)"
    )
}

pub const VERSION: &str = "SELECT hash, name, text FROM chassis_flow_versions WHERE hash = $1";
pub const KEEP_VERSION: &str =
    "INSERT INTO chassis_flow_versions (hash, name, text, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
pub const STUCK: &str = "SELECT flow, CAST(count(*) AS BIGINT) FROM chassis_runs WHERE ended IS NULL AND state = 'stuck' GROUP BY flow";
pub const CANCEL: &str = "UPDATE chassis_runs SET cancel = $2 WHERE id = $1 AND ended IS NULL";
pub const TO_CANCEL: &str =
    "SELECT id, cancel FROM chassis_runs WHERE ended IS NULL AND owner = $1 AND cancel IS NOT NULL";
pub const RELEASE: &str = "UPDATE chassis_hosts SET lease_until = 0 WHERE id = $1";
pub const SEIZE: &str =
    "UPDATE chassis_runs SET fence = fence + 1, owner = NULL WHERE id = $1 AND fence = $2";
pub const HOLDS: &str = "SELECT 1 FROM chassis_runs WHERE id = $1 AND fence = $2";

/// The methods of a store that are the same for both: of a type with `reading` and `writing`, which give a connection, and `sql`,
/// the texts that differ.
macro_rules! shared_queries {
    () => {
        fn keep_version(&self, version: FlowVersion) -> Answer<'_, ()> {
            Box::pin(async move {
                let mut connection = self.writing().await?;
                let query = sqlx::query(queries::KEEP_VERSION).bind(version.hash).bind(version.name);
                let query = query.bind(version.text).bind(crate::flow::clock::now());
                query.execute(&mut *connection).await.map_err(|error| StoreError::of("write", error))?;
                Ok(())
            })
        }

        fn version(&self, hash: String) -> Answer<'_, Option<FlowVersion>> {
            Box::pin(async move {
                let mut connection = self.reading().await?;
                let row = sqlx::query(queries::VERSION).bind(hash).fetch_optional(&mut *connection).await;
                row.and_then(|row| row.as_ref().map(rows::version).transpose()).map_err(unreadable)
            })
        }

        fn run(&self, id: String) -> Answer<'_, Option<RunRow>> {
            Box::pin(async move {
                let mut connection = self.reading().await?;
                let query = sqlx::query(AssertSqlSafe(self.sql.run.clone())).bind(id);
                let row = query.fetch_optional(&mut *connection).await;
                row.and_then(|row| row.as_ref().map(rows::run).transpose()).map_err(unreadable)
            })
        }

        fn run_of_key(&self, flow: String, tenant: String, key: String) -> Answer<'_, Option<RunRow>> {
            Box::pin(async move {
                let mut connection = self.reading().await?;
                let query = sqlx::query(AssertSqlSafe(self.sql.run_of_key.clone()));
                let row = query.bind(flow).bind(tenant).bind(key).fetch_optional(&mut *connection).await;
                row.and_then(|row| row.as_ref().map(rows::run).transpose()).map_err(unreadable)
            })
        }

        fn entries(&self, run: String) -> Answer<'_, Vec<EntryRow>> {
            Box::pin(async move {
                let mut connection = self.reading().await?;
                let query = sqlx::query(AssertSqlSafe(self.sql.entries.clone())).bind(run);
                let rows = query.fetch_all(&mut *connection).await;
                rows.and_then(|rows| rows.iter().map(rows::entry).collect()).map_err(unreadable)
            })
        }

        fn list(&self, filter: Filter) -> Answer<'_, Vec<RunRow>> {
            Box::pin(async move {
                let mut connection = self.reading().await?;
                let query = sqlx::query(AssertSqlSafe(self.sql.list.clone())).bind(filter.flow);
                let query = query.bind(filter.state.map(RunState::as_str)).bind(filter.since);
                let query = query.bind(filter.before).bind(i64::from(filter.limit));
                let rows = query.fetch_all(&mut *connection).await;
                rows.and_then(|rows| rows.iter().map(rows::run).collect()).map_err(unreadable)
            })
        }

        fn stuck(&self) -> Answer<'_, Vec<(String, i64)>> {
            Box::pin(async move {
                let mut connection = self.reading().await?;
                let rows = sqlx::query_as(queries::STUCK).fetch_all(&mut *connection).await;
                rows.map_err(unreadable)
            })
        }

        fn cancel(&self, run: String, reason: String) -> Answer<'_, bool> {
            Box::pin(async move {
                let mut connection = self.writing().await?;
                let query = sqlx::query(queries::CANCEL).bind(run).bind(reason);
                let done =
                    query.execute(&mut *connection).await.map_err(|error| StoreError::of("write", error))?;
                Ok(done.rows_affected() == 1)
            })
        }

        fn renew<'a>(
            &'a self,
            host: &'a str,
            name: &'a str,
            lease: Millis,
        ) -> Answer<'a, Vec<(String, String)>> {
            Box::pin(async move {
                let mut connection = self.writing().await?;
                let query =
                    sqlx::query(AssertSqlSafe(self.sql.renew.clone())).bind(host).bind(name).bind(lease);
                query.execute(&mut *connection).await.map_err(|error| StoreError::of("lease", error))?;
                let query = sqlx::query_as(queries::TO_CANCEL).bind(host);
                query.fetch_all(&mut *connection).await.map_err(unreadable)
            })
        }

        fn release<'a>(&'a self, host: &'a str) -> Answer<'a, ()> {
            Box::pin(async move {
                let mut connection = self.writing().await?;
                let query = sqlx::query(queries::RELEASE).bind(host);
                query.execute(&mut *connection).await.map_err(|error| StoreError::of("lease", error))?;
                Ok(())
            })
        }

        fn claim<'a>(&'a self, claim: Claim<'a>) -> Answer<'a, Vec<RunRow>> {
            Box::pin(async move {
                let mut connection = self.writing().await?;
                let own = serde_json::to_string(claim.own).unwrap_or_default();
                let query = sqlx::query(AssertSqlSafe(self.sql.claim.clone())).bind(claim.host);
                let query = query.bind(own).bind(i64::from(claim.limit));
                let rows = query.fetch_all(&mut *connection).await;
                rows.and_then(|rows| rows.iter().map(rows::run).collect())
                    .map_err(|error| StoreError::of("claim", error))
            })
        }

        fn seize(&self, run: String, fence: i64) -> Answer<'_, bool> {
            Box::pin(async move {
                let mut connection = self.writing().await?;
                let query = sqlx::query(queries::SEIZE).bind(run).bind(fence);
                let done =
                    query.execute(&mut *connection).await.map_err(|error| StoreError::of("write", error))?;
                Ok(done.rows_affected() == 1)
            })
        }

        fn holds(&self, run: String, fence: i64) -> Answer<'_, bool> {
            Box::pin(async move {
                let mut connection = self.reading().await?;
                let query = sqlx::query(queries::HOLDS).bind(run).bind(fence);
                let row = query.fetch_optional(&mut *connection).await.map_err(unreadable)?;
                Ok(row.is_some())
            })
        }
    };
}

pub(super) use shared_queries;

/// The texts that are made once.
pub struct Texts {
    pub run: String,
    pub run_of_key: String,
    pub entries: String,
    pub list: String,
    pub claim: String,
    pub renew: String,
    pub forget_hosts: String,
}

impl Texts {
    /// For a database that tells the time by `now`, reads the list in `$2` by `own`, and locks rows by `lock`.
    pub fn new(now: &str, own: &str, lock: &str) -> Self {
        Self {
            run: run(),
            run_of_key: run_of_key(),
            entries: entries(),
            list: list(),
            claim: claim(now, own, lock),
            renew: renew(now),
            forget_hosts: forget_hosts(now),
        }
    }
}

pub fn unreadable(error: sqlx::Error) -> super::StoreError {
    super::StoreError::of("read", error)
}
