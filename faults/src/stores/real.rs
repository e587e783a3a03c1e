//! The real servers, each by its own driver.

use super::{COLLECTION, SESSION, Snapshot, Urls, User, broker, search};
use anyhow::{Context, Result};
use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::Collection;
use sqlx::{Connection, PgConnection, Row};

/// Reads all five.
pub async fn read(urls: &Urls) -> Result<Snapshot> {
    let mut snapshot = Snapshot { users: users(&urls.postgres).await?, ..Snapshot::default() };
    let mut documents = collection(&urls.mongodb).await?.find(doc! {}).await?;
    while let Some(document) = documents.try_next().await? {
        let id = document.get("_id").and_then(|id| id.as_i64().or_else(|| id.as_i32().map(i64::from)));
        let id = id.with_context(|| format!("{document} names no user"))?;
        snapshot.preferences.push((id, document.get_str("run_id").unwrap_or_default().to_owned()));
    }
    for key in sessions(&urls.redis).await? {
        snapshot.sessions.push(key.trim_start_matches(SESSION).parse()?);
    }
    snapshot.entries = search::ids(&urls.elasticsearch).await?;
    snapshot.messages = broker::messages(&urls.rabbitmq).await?;
    Ok(snapshot)
}

/// Takes away what create-user left earlier.
pub async fn wipe(urls: &Urls) -> Result<()> {
    let mut postgres = PgConnection::connect(&urls.postgres).await.context("Postgres")?;
    let there = sqlx::query("SELECT 1 FROM information_schema.tables WHERE table_name = 'users'");
    if there.fetch_optional(&mut postgres).await?.is_some() {
        sqlx::query("TRUNCATE users").execute(&mut postgres).await?;
    }
    postgres.close().await?;
    collection(&urls.mongodb).await?.delete_many(doc! {}).await?;
    let keys = sessions(&urls.redis).await?;
    let mut connection = redis::Client::open(&*urls.redis)?.get_multiplexed_async_connection().await?;
    for some in keys.chunks(500) {
        redis::cmd("DEL").arg(some).exec_async(&mut connection).await?;
    }
    search::wipe(&urls.elasticsearch).await?;
    broker::wipe(&urls.rabbitmq).await
}

async fn users(url: &str) -> Result<Vec<User>> {
    let mut connection = PgConnection::connect(url).await.context("Postgres")?;
    let rows = sqlx::query("SELECT id, run_id, email FROM users").fetch_all(&mut connection).await?;
    connection.close().await?;
    Ok(rows.iter().map(|row| User { id: row.get(0), run_id: row.get(1), email: row.get(2) }).collect())
}

async fn collection(url: &str) -> Result<Collection<Document>> {
    let client = mongodb::Client::with_uri_str(url).await.context("MongoDB")?;
    Ok(client.default_database().context("the URL of MongoDB names no database")?.collection(COLLECTION))
}

async fn sessions(url: &str) -> Result<Vec<String>> {
    let mut connection =
        redis::Client::open(url)?.get_multiplexed_async_connection().await.context("Redis")?;
    let (mut cursor, mut keys) = (0_u64, Vec::new());
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{SESSION}*")).arg("COUNT").arg(1000);
        let (next, mut found): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
        keys.append(&mut found);
        if next == 0 {
            // A scan may tell a key twice.
            keys.sort();
            keys.dedup();
            return Ok(keys);
        }
        cursor = next;
    }
}
