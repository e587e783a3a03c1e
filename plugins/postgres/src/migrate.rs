//! Migrations, each in a transaction with its entry in a table.

use crate::error::{self, Sent};
use crate::pool::Db;
use chassis_guest::contracts::relational::Migration;
use chassis_guest::{Code, Error};
use sqlx::Row;

/// The lock under which hosts migrate one after the other: "chassis!" as a number.
const LOCK: i64 = 0x6368_6173_7369_7321;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS chassis_migrations (
    version bigint PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now())";

/// Applies what was not applied yet, and answers the versions.
pub(crate) async fn run(db: &mut Db, mut migrations: Vec<Migration>) -> Result<Vec<i64>, Error> {
    migrations.sort_by_key(|migration| migration.version);
    let mut applied = Vec::new();
    for migration in &migrations {
        db.begin().await?;
        match apply(db, migration).await {
            Ok(true) => applied.push(migration.version),
            Ok(false) => {}
            Err(error) => {
                db.rollback().await;
                return Err(error);
            }
        }
        db.commit().await?;
    }
    Ok(applied)
}

/// Whether it had to be applied.
async fn apply(db: &mut Db, migration: &Migration) -> Result<bool, Error> {
    let (version, name) = (migration.version, &migration.name);
    let lost = |cause| error::from(cause, Sent::Harmless);
    // Held until the transaction's end. Within it nobody else makes the table, which even IF NOT EXISTS does not survive.
    db.run(sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK)).await.map_err(lost)?;
    let there =
        db.run(sqlx::query("SELECT to_regclass('chassis_migrations') IS NOT NULL")).await.map_err(lost)?;
    if !there.rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) {
        db.script(TABLE).await.map_err(lost)?;
    }
    let known = "SELECT checksum = encode(sha256(convert_to($2, 'UTF8')), 'hex')
        FROM chassis_migrations WHERE version = $1";
    let known = db.run(sqlx::query(known).bind(version).bind(migration.sql.clone())).await.map_err(lost)?;
    if let Some(row) = known.rows.first() {
        if row.try_get(0).unwrap_or(false) {
            return Ok(false);
        }
        let message = format!("migration {version} ({name}) was changed after it was applied");
        return Err(Error::new(Code::FailedPrecondition, message).field("migrations"));
    }
    db.script(&migration.sql)
        .await
        .map_err(|cause| error::from(cause, Sent::Harmless).caused_by(&Failed(version, name.clone())))?;
    let insert = "INSERT INTO chassis_migrations (version, name, checksum)
        VALUES ($1, $2, encode(sha256(convert_to($3, 'UTF8')), 'hex'))";
    let insert = sqlx::query(insert).bind(version).bind(name.clone()).bind(migration.sql.clone());
    db.run(insert).await.map_err(lost)?;
    Ok(true)
}

/// Which migration failed.
#[derive(Debug)]
struct Failed(i64, String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "migration {} ({}) failed; nothing of it was kept", self.0, self.1)
    }
}

impl std::error::Error for Failed {}
