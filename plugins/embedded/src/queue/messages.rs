//! What happens to messages, as statements.

use crate::cache::now;
use crate::db::Db;
use chassis_guest::contracts::Origin;
use chassis_guest::contracts::queue::{Message, Publish, Published};
use chassis_guest::serde_json;
use chassis_guest::{Code, Error};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

/// A queue must have been declared.
pub(super) async fn check_queue(db: &mut Db, queue: &str) -> Result<(), Error> {
    let found = db.first(sqlx::query("SELECT 1 FROM chassis_queues WHERE name = ?").bind(queue)).await?;
    found.map(drop).ok_or_else(|| {
        Error::new(Code::NotFound, format!("there is no queue `{queue}`: declare it first")).field("queue")
    })
}

/// Puts a message in, with the call's trace context among its headers, as a client of a broker does.
pub(super) async fn publish(db: &mut Db, input: Publish, origin: Origin) -> Result<Published, Error> {
    check_queue(db, &input.queue).await?;
    let mut headers = input.headers;
    headers.extend(origin.trace_headers().map(|(name, value)| (name.to_owned(), value.to_owned())));
    let message_id = input.message_id.or(origin.idempotency_key);
    let message_id = message_id.unwrap_or_else(|| Uuid::now_v7().to_string());
    let insert = "INSERT INTO chassis_messages (queue, body, headers, message_id, exchange, routing_key)
        VALUES ($1, $2, $3, $4, $5, $1)";
    let query = sqlx::query(insert)
        .bind(input.queue)
        .bind(input.body.to_string())
        .bind(serde_json::to_string(&headers).unwrap_or_default())
        .bind(&message_id)
        .bind(input.exchange.unwrap_or_default());
    db.done(query).await?;
    Ok(Published { message_id })
}

/// Takes the first message that waits. Until `until` nobody else sees it.
pub(super) async fn claim(
    db: &mut Db,
    queue: &str,
    until: i64,
    owner: Option<&str>,
) -> Result<Option<Message>, Error> {
    let update = "UPDATE chassis_messages
        SET receipt = $1, visible_ms = $2, owner = $3, deliveries = deliveries + 1
        WHERE id = (SELECT id FROM chassis_messages WHERE queue = $4 AND visible_ms <= $5 ORDER BY id LIMIT 1)
        RETURNING body, headers, message_id, exchange, routing_key, deliveries, receipt";
    let query =
        sqlx::query(update).bind(Uuid::new_v4().to_string()).bind(until).bind(owner).bind(queue).bind(now());
    Ok(db.first(query).await?.map(|row| message(&row)))
}

/// Gives messages back to their queue, at the place they had.
pub(super) async fn released(db: &mut Db, by: &'static str, value: &str) -> Result<u64, Error> {
    let update = format!(
        "UPDATE chassis_messages SET receipt = NULL, owner = NULL, visible_ms = 0 WHERE {by} = ? AND visible_ms > ?"
    );
    Ok(db.done(sqlx::query(AssertSqlSafe(update)).bind(value).bind(now())).await?.changed)
}

/// Moves a message to its queue's dead-letter queue, at the end; without one it is gone.
pub(super) async fn dead(db: &mut Db, receipt: &str, reason: &str) -> Result<u64, Error> {
    let insert = "INSERT INTO chassis_messages (queue, body, headers, message_id, exchange, routing_key)
        SELECT q.dead_letter, m.body,
            json_set(m.headers, '$.\"x-first-death-queue\"', m.queue, '$.\"x-first-death-reason\"', $2),
            m.message_id, m.exchange, m.routing_key
        FROM chassis_messages m JOIN chassis_queues q ON q.name = m.queue
        WHERE m.receipt = $1 AND m.visible_ms > $3 AND q.dead_letter IS NOT NULL";
    db.done(sqlx::query(insert).bind(receipt).bind(reason).bind(now())).await?;
    let delete = "DELETE FROM chassis_messages WHERE receipt = ? AND visible_ms > ?";
    Ok(db.done(sqlx::query(delete).bind(receipt).bind(now())).await?.changed)
}

/// How many messages wait.
pub(super) async fn waiting(db: &mut Db, queue: &str) -> Result<u64, Error> {
    let select = "SELECT count(*) FROM chassis_messages WHERE queue = ? AND visible_ms <= ?";
    let row = db.first(sqlx::query(select).bind(queue).bind(now())).await?;
    Ok(row.map_or(0, |row| row.get::<i64, _>(0).unsigned_abs()))
}

fn message(row: &SqliteRow) -> Message {
    Message {
        body: serde_json::from_str(row.get("body")).unwrap_or_default(),
        message_id: row.get("message_id"),
        headers: serde_json::from_str(row.get("headers")).unwrap_or_default(),
        exchange: row.get("exchange"),
        routing_key: row.get("routing_key"),
        redelivered: row.get::<i64, _>("deliveries") > 1,
        receipt: row.get("receipt"),
    }
}
