//! RabbitMQ: what waits in the queue, looked at or read.

use super::{Message, QUEUE};
use anyhow::{Context, Result, ensure};
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};
use serde_json::Value;
use std::time::Duration;

/// Whose turn it is to look through the queue: what one looks at, an undo would not find. See the plugin's `retract.rs`.
const TURN: &str = "chassis.retract.welcome_messages";

/// Takes those messages out that are wanted, by their ids; all others stay where they are.
pub async fn take(url: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Message>> {
    let (connection, mut channel) = open(url).await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    while let Err(refused) = channel.queue_declare(TURN.into(), exclusive, FieldTable::default()).await {
        // 405: it is another one's turn; and a refusal ends the channel.
        let another = matches!(refused.kind(), ErrorKind::ProtocolError(said) if said.get_id() == 405);
        ensure!(another, "the turn to read {QUEUE}: {refused}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        channel = connection.create_channel().await?;
    }
    let mut taken = Vec::new();
    while let Some(message) = channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await? {
        let read = read(&message)?;
        if wanted(&read.message_id) {
            message.delivery.acker.ack(BasicAckOptions::default()).await?;
            taken.push(read);
        }
    }
    let back = BasicNackOptions { multiple: true, requeue: true };
    channel.basic_nack(0, back).await?;
    // With the connection the turn ends; it answers when the broker has seen all of it.
    connection.close(200, "read".into()).await?;
    Ok(taken)
}

/// Every message that waits. They go back to their places when the connection is closed.
pub async fn messages(url: &str) -> Result<Vec<Message>> {
    let (connection, channel) = open(url).await?;
    let mut found = Vec::new();
    while let Some(message) = channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await? {
        found.push(read(&message)?);
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

fn read(message: &BasicGetMessage) -> Result<Message> {
    let body: Value = serde_json::from_slice(&message.delivery.data)?;
    let id = message.delivery.properties.message_id().as_ref().map(ToString::to_string);
    Ok(Message {
        message_id: id.unwrap_or_default(),
        user_id: body["user_id"].as_i64().with_context(|| format!("{body} names no user"))?,
    })
}

async fn open(url: &str) -> Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.context("RabbitMQ")?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}
