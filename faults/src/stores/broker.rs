//! RabbitMQ: what waits in the queue, without taking it out.

use super::{Message, QUEUE};
use anyhow::{Context, Result};
use lapin::options::{BasicGetOptions, QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use serde_json::Value;

/// Every message that waits. They go back to their places when the connection is closed.
pub async fn messages(url: &str) -> Result<Vec<Message>> {
    let (connection, channel) = open(url).await?;
    let mut found = Vec::new();
    while let Some(message) = channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await? {
        let body: Value = serde_json::from_slice(&message.delivery.data)?;
        let id = message.delivery.properties.message_id().as_ref().map(ToString::to_string);
        found.push(Message {
            message_id: id.unwrap_or_default(),
            user_id: body["user_id"].as_i64().with_context(|| format!("{body} names no user"))?,
        });
    }
    connection.close(200, "read".into()).await?;
    Ok(found)
}

/// Empties the queue, if there is one.
pub async fn wipe(url: &str) -> Result<()> {
    let (connection, channel) = open(url).await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    if channel.queue_declare(QUEUE.into(), passive, FieldTable::default()).await.is_ok() {
        channel.queue_purge(QUEUE.into(), QueuePurgeOptions::default()).await?;
    }
    // A queue that was not there has ended the channel; the connection is closed either way.
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn open(url: &str) -> Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.context("RabbitMQ")?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}
