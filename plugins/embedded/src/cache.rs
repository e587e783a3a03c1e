//! `cache`: a table of keys with expiry.

use crate::db::Db;
use crate::driver::Embedded;
use crate::ops::Part;
use crate::store::Store;
use chassis_guest::contracts::cache::{
    Cache, Deleted, Expire, Expired, Found, Get, GetOutput, Increment, Key, Number, Set, SetOutput, SetRaw,
};
use chassis_guest::contracts::{Batch, BatchOutput};
use chassis_guest::serde_json::{self, Value};
use chassis_guest::tokio::time::sleep;
use chassis_guest::{Call, Code, Context, Error};
use sqlx::Row;
use std::collections::HashMap;
use std::sync::Weak;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS chassis_cache (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires_ms INTEGER)",
    "CREATE INDEX IF NOT EXISTS chassis_cache_expiry ON chassis_cache (expires_ms) WHERE expires_ms IS NOT NULL",
];

impl Cache for Embedded {
    async fn get(&self, _: Call<'_>, input: Get) -> Result<GetOutput, Error> {
        let mut db = self.store.read(Part::Cache).await?;
        output(read(&mut db, &input.key).await?, &input)
    }

    async fn get_many(&self, _: Call<'_>, input: Batch<Get>) -> Result<BatchOutput<GetOutput>, Error> {
        let keys: Vec<&str> = input.items.iter().map(|item| item.key.as_str()).collect();
        let keys = serde_json::to_string(&keys).unwrap_or_default();
        let select = "SELECT key, value FROM chassis_cache
            WHERE key IN (SELECT value FROM json_each(?)) AND (expires_ms IS NULL OR expires_ms > ?)";
        let mut db = self.store.read(Part::Cache).await?;
        let rows = db.done(sqlx::query(select).bind(keys).bind(now())).await?.rows;
        let found: HashMap<String, Vec<u8>> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(input.items.iter().map(|item| output(found.get(&item.key).cloned(), item)).collect())
    }

    async fn set(&self, _: Call<'_>, input: Set) -> Result<SetOutput, Error> {
        let expires = expiry(input.ttl_ms)?;
        let mut db = self.store.write(Part::Cache).await?;
        write(&mut db, &input.key, bytes(input.value), expires, input.if_absent).await
    }

    async fn set_many(&self, _: Call<'_>, input: Batch<Set>) -> Result<BatchOutput<SetOutput>, Error> {
        let mut db = self.store.begin(Part::Cache).await?;
        let mut results = Vec::with_capacity(input.items.len());
        for item in input.items {
            results.push(match expiry(item.ttl_ms) {
                Ok(expires) => write(&mut db, &item.key, bytes(item.value), expires, item.if_absent).await,
                Err(error) => Err(error),
            });
        }
        db.commit().await?;
        Ok(results.into_iter().collect())
    }

    async fn delete(&self, _: Call<'_>, input: Key) -> Result<Deleted, Error> {
        let delete =
            "DELETE FROM chassis_cache WHERE key = ? RETURNING expires_ms IS NULL OR expires_ms > ? AS alive";
        let mut db = self.store.write(Part::Cache).await?;
        let row = db.first(sqlx::query(delete).bind(input.key).bind(now())).await?;
        Ok(Deleted { deleted: row.is_some_and(|row| row.get(0)) })
    }

    async fn expire(&self, _: Call<'_>, input: Expire) -> Result<Expired, Error> {
        let expires = expiry(Some(input.ttl_ms))?;
        let update = "UPDATE chassis_cache SET expires_ms = ?
            WHERE key = ? AND (expires_ms IS NULL OR expires_ms > ?)";
        let mut db = self.store.write(Part::Cache).await?;
        let done = db.done(sqlx::query(update).bind(expires).bind(input.key).bind(now())).await?;
        Ok(Expired { exists: done.changed > 0 })
    }

    async fn increment(&self, _: Call<'_>, input: Increment) -> Result<Number, Error> {
        let mut db = self.store.begin(Part::Cache).await?;
        let stored = read(&mut db, &input.key).await?;
        let sum = match &stored {
            None => input.by,
            Some(stored) => {
                let number = std::str::from_utf8(stored).ok().and_then(|text| text.parse::<i64>().ok());
                number.and_then(|number| number.checked_add(input.by)).ok_or_else(|| {
                    Error::new(Code::FailedPrecondition, "the value is not a number, or the sum is too large")
                })?
            }
        };
        let text = sum.to_string().into_bytes();
        if stored.is_some() {
            let update = "UPDATE chassis_cache SET value = ? WHERE key = ?";
            db.done(sqlx::query(update).bind(text).bind(input.key)).await?;
        } else {
            write(&mut db, &input.key, text, None, false).await?;
        }
        db.commit().await?;
        Ok(Number { value: sum })
    }

    async fn get_raw(&self, _: Call<'_>, input: Key) -> Result<(Found, Vec<u8>), Error> {
        let mut db = self.store.read(Part::Cache).await?;
        let value = read(&mut db, &input.key).await?;
        Ok((Found { found: value.is_some() }, value.unwrap_or_default()))
    }

    async fn set_raw(&self, call: Call<'_>, input: SetRaw) -> Result<SetOutput, Error> {
        let expires = expiry(input.ttl_ms)?;
        let mut db = self.store.write(Part::Cache).await?;
        write(&mut db, &input.key, call.raw().to_vec(), expires, input.if_absent).await
    }
}

/// Clears expired entries away now and then, for as long as the instance lives.
pub(crate) fn purge(store: Weak<Store>, every: Duration, context: &Context) {
    context.spawn(async move {
        loop {
            sleep(every).await;
            let Some(store) = store.upgrade() else { return };
            if !store.uses(Part::Cache) {
                continue;
            }
            if let Ok(mut db) = store.write(Part::Cache).await {
                // What fails now is cleared away the next time.
                let delete = "DELETE FROM chassis_cache WHERE expires_ms <= ?";
                let _ = db.done(sqlx::query(delete).bind(now())).await;
            }
        }
    });
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

async fn read(db: &mut Db, key: &str) -> Result<Option<Vec<u8>>, Error> {
    let select = "SELECT value FROM chassis_cache WHERE key = ? AND (expires_ms IS NULL OR expires_ms > ?)";
    let row = db.first(sqlx::query(select).bind(key).bind(now())).await?;
    Ok(row.map(|row| row.get(0)))
}

async fn write(
    db: &mut Db,
    key: &str,
    value: Vec<u8>,
    expires: Option<i64>,
    if_absent: bool,
) -> Result<SetOutput, Error> {
    let upsert = "INSERT INTO chassis_cache (key, value, expires_ms) VALUES ($1, $2, $3)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_ms = excluded.expires_ms
        WHERE NOT $4 OR chassis_cache.expires_ms <= $5";
    let query = sqlx::query(upsert).bind(key).bind(value).bind(expires).bind(if_absent).bind(now());
    Ok(SetOutput { stored: db.done(query).await?.changed > 0 })
}

fn expiry(ttl_ms: Option<u64>) -> Result<Option<i64>, Error> {
    match ttl_ms {
        None => Ok(None),
        Some(0) => Err(Error::invalid("ttl_ms", "must be at least 1")),
        Some(ttl) => Ok(Some(now().saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX)))),
    }
}

fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.into_bytes(),
        value => value.to_string().into_bytes(),
    }
}

fn output(value: Option<Vec<u8>>, input: &Get) -> Result<GetOutput, Error> {
    let Some(bytes) = value else { return Ok(GetOutput { value: None }) };
    let value = if input.json {
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(Code::FailedPrecondition, "the value is not JSON").caused_by(&error)
        })?
    } else {
        String::from_utf8(bytes)
            .map_err(|_| Error::new(Code::FailedPrecondition, "the value is not text: read it with get_raw"))?
            .into()
    };
    Ok(GetOutput { value: Some(value) })
}
