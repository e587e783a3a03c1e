//! The embedded profile's five SQLite files.

use super::{COLLECTION, INDEX, Message, QUEUE, SESSION, Snapshot, User};
use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use std::path::Path;

/// Reads the files as they are on the disk, whoever wrote them.
pub async fn read(folder: &Path) -> Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    for row in rows(folder, "users", "SELECT id, run_id, email FROM users").await? {
        snapshot.users.push(User { id: row.get(0), run_id: row.get(1), email: row.get(2) });
    }
    let documents = format!("SELECT body FROM \"chassis_documents:{COLLECTION}\"");
    for row in rows(folder, "preferences", &documents).await? {
        let body = json(row.get(0))?;
        let run = body["run_id"].as_str().unwrap_or_default().to_owned();
        snapshot.preferences.push((id(&body["_id"])?, run));
    }
    for row in rows(folder, "sessions", "SELECT key FROM chassis_cache").await? {
        let key: String = row.get(0);
        if let Some(id) = key.strip_prefix(SESSION) {
            snapshot.sessions.push(id.parse()?);
        }
    }
    let entries = format!("SELECT id FROM chassis_search_documents WHERE name = '{INDEX}'");
    for row in rows(folder, "search", &entries).await? {
        let id: String = row.get(0);
        snapshot.entries.push(id.parse()?);
    }
    let messages = format!("SELECT message_id, body FROM chassis_messages WHERE queue = '{QUEUE}'");
    for row in rows(folder, "messages", &messages).await? {
        let body = json(row.get(1))?;
        snapshot.messages.push(Message { message_id: row.get(0), user_id: id(&body["user_id"])? });
    }
    Ok(snapshot)
}

async fn rows(folder: &Path, name: &str, sql: &str) -> Result<Vec<SqliteRow>> {
    let file = folder.join(format!("{name}.db"));
    let options = SqliteConnectOptions::new().filename(&file);
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .with_context(|| format!("cannot open {}", file.display()))?;
    let rows = match sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await {
        // A store makes its tables when it is first used.
        Err(sqlx::Error::Database(error)) if error.message().starts_with("no such table") => Vec::new(),
        rows => rows.with_context(|| format!("{}: {sql}", file.display()))?,
    };
    connection.close().await?;
    Ok(rows)
}

fn json(text: &str) -> Result<Value> {
    Ok(serde_json::from_str(text)?)
}

fn id(value: &Value) -> Result<i64> {
    value.as_i64().with_context(|| format!("{value} is no user's id"))
}
