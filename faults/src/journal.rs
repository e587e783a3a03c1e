//! The journal, read directly in its database: no host is asked what became of a run.

use crate::stores::Stores;
use crate::verdict::{Run, State};
use anyhow::{Context, Result, bail};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};
use std::path::{Path, PathBuf};

/// Where a journal stands.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file.
    Sqlite(PathBuf),
    /// A database that several hosts share.
    Postgres(String),
}

const RUNS: &str = "SELECT id, state FROM chassis_runs WHERE flow = $1";
/// Steps of unfinished runs whose intent is there, and not what came of them.
const UNKNOWN: &str = "SELECT e.step FROM chassis_entries AS e JOIN chassis_runs AS r ON r.id = e.run_id \
    WHERE r.flow = $1 AND r.ended IS NULL AND e.kind = 'step_started' AND NOT EXISTS (SELECT 1 FROM chassis_entries AS x \
    WHERE x.run_id = e.run_id AND x.step = e.step AND x.kind IN ('step_succeeded', 'step_failed'))";

impl Place {
    /// In a site's folder, or in the Postgres of its stores.
    pub fn new(folder: &Path, stores: &Stores, shared: bool) -> Result<Self> {
        match (shared, stores) {
            (false, _) => Ok(Self::Sqlite(folder.join("journal.db"))),
            (true, Stores::Real(urls)) => Ok(Self::Postgres(urls.postgres.clone())),
            (true, Stores::Embedded(_)) => bail!("hosts share a journal in Postgres only"),
        }
    }

    /// As the configuration says it.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => format!("sqlite:{}", file.display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// The runs of a flow.
    pub async fn runs(&self, flow: &str) -> Result<Vec<Run>> {
        match self {
            Self::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file);
                let mut connection = SqliteConnection::connect_with(&options).await.context("the journal")?;
                let rows = sqlx::query(RUNS).bind(flow).fetch_all(&mut connection).await?;
                connection.close().await?;
                rows.iter().map(|row| run(row.get(0), row.get(1))).collect()
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.context("the journal")?;
                let rows = sqlx::query(RUNS).bind(flow).fetch_all(&mut connection).await?;
                connection.close().await?;
                rows.iter().map(|row| run(row.get(0), row.get(1))).collect()
            }
        }
    }

    /// Which steps of a flow's unfinished runs nobody knows the end of, as a host left them that is dead.
    pub async fn unknown(&self, flow: &str) -> Result<Vec<String>> {
        match self {
            Self::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file);
                let mut connection = SqliteConnection::connect_with(&options).await.context("the journal")?;
                let steps = sqlx::query_scalar(UNKNOWN).bind(flow).fetch_all(&mut connection).await?;
                connection.close().await?;
                Ok(steps)
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.context("the journal")?;
                let steps = sqlx::query_scalar(UNKNOWN).bind(flow).fetch_all(&mut connection).await?;
                connection.close().await?;
                Ok(steps)
            }
        }
    }

    /// Forgets runs of earlier sites, before any host runs.
    pub async fn wipe(&self) -> Result<()> {
        let Self::Postgres(url) = self else { return Ok(()) };
        let mut connection = PgConnection::connect(url).await.context("the journal")?;
        for table in ["chassis_entries", "chassis_runs", "chassis_hosts"] {
            let there =
                sqlx::query("SELECT 1 FROM information_schema.tables WHERE table_name = $1").bind(table);
            if there.fetch_optional(&mut connection).await?.is_some() {
                sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table}")))
                    .execute(&mut connection)
                    .await?;
            }
        }
        connection.close().await?;
        Ok(())
    }
}

fn run(id: String, state: String) -> Result<Run> {
    let state = match state.as_str() {
        "completed" => State::Completed,
        "undone" | "cancelled" => State::Undone,
        "stuck" => State::Stuck,
        "running" | "undoing" => State::Open,
        other => bail!("the journal says that run {id} is `{other}`, which is not known here"),
    };
    Ok(Run { id, state })
}
