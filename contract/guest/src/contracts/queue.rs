//! `queue`: messages, delivered at least once and settled by receipt.

use super::{Batch, BatchOutput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

crate::contract! {
    /// Messages, delivered at least once and settled by receipt.
    pub trait Queue = "queue", kind = Messaging {
        /// Makes a queue, if it is not there.
        unary declare(Declare) -> Depth { effect: Write, idempotent: true, target: "/queue" }
        /// Publishes a message and waits for the broker's confirm; without it the error is `maybe_applied`.
        unary publish(Publish) -> Published { effect: Write, batched_by: "publish_many", target: "/queue", operation_type: "send" }
        /// Publishes many messages at once.
        unary publish_many(Batch<Publish>) -> BatchOutput<Published> { effect: Write, operation_type: "send" }
        /// Streams messages as they come. Each stays unsettled until `ack` or `nack`; when the stream is dropped, what is unsettled
        /// goes back to the queue.
        stream consume(Consume) -> Message { effect: Read, target: "/queue", operation_type: "receive" }
        /// Takes one message. It goes back to the queue unless it is settled within `settle_ms`.
        unary receive(Receive) -> Received { effect: Read, target: "/queue", operation_type: "receive" }
        /// Settles a message: it is done. One that is not there to be settled is an answer, not an error.
        unary ack(Receipt) -> Settled { effect: Write, idempotent: true, operation_type: "settle" }
        /// Settles a message: it is not done. One that is not there to be settled is an answer, not an error.
        unary nack(Nack) -> Settled { effect: Write, idempotent: true, operation_type: "settle" }
        /// Takes a message back that nobody has consumed yet, by its id: the undo of `publish`.
        unary retract(Retract) -> Retracted { effect: Write, idempotent: true, target: "/queue" }
        /// Tells how many messages wait.
        unary depth(QueueName) -> Depth { effect: Read, idempotent: true, target: "/queue" }
        /// Takes all waiting messages away.
        unary purge(QueueName) -> Purged { effect: Write, idempotent: true, target: "/queue" }
        /// Deletes a queue and its messages.
        unary delete(QueueName) -> Purged { effect: Write, idempotent: true, target: "/queue" }
    }
}

/// A queue to make.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Declare {
    /// The queue.
    pub queue: String,
    /// What kind.
    #[serde(default)]
    pub kind: QueueKind,
    /// The queue that takes messages that were refused (`nack` without requeue) or delivered too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
}

/// What kind of queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueKind {
    /// On one node, durable.
    #[default]
    Classic,
    /// Replicated.
    Quorum,
}

/// A message to send.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// The queue (with an exchange: the routing key). A queue that does not exist is `not_found`.
    pub queue: String,
    /// The exchange; the default one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    /// What it says.
    pub body: Value,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its id; made when absent (from the call's idempotency key, if there is one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Survives a restart of the broker.
    #[serde(default = "yes")]
    pub persistent: bool,
}

/// A message that the broker has.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Published {
    /// Its id.
    pub message_id: String,
}

/// What to consume.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Consume {
    /// The queue.
    pub queue: String,
    /// At most so many unsettled messages at once.
    #[serde(default = "prefetch")]
    #[schemars(range(min = 1))]
    pub prefetch: u16,
}

/// A message.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Message {
    /// What it says; a string when it is text that is not JSON.
    pub body: Value,
    /// Its id, if it has one.
    pub message_id: Option<String>,
    /// Headers that are text or whole numbers, `traceparent` and `tracestate` among them; `x-delivery-count` of brokers that count how
    /// often a message came back.
    pub headers: BTreeMap<String, String>,
    /// The exchange it came by; empty for the default one.
    pub exchange: String,
    /// The routing key it came with.
    pub routing_key: String,
    /// It was delivered before.
    pub redelivered: bool,
    /// What `ack` and `nack` want.
    pub receipt: String,
}

/// What to take.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receive {
    /// The queue.
    pub queue: String,
    /// Wait so long for a message, in milliseconds.
    #[serde(default)]
    pub wait_ms: u64,
    /// How long it may stay unsettled, in milliseconds.
    #[serde(default = "settle")]
    pub settle_ms: u64,
}

/// What was taken.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Received {
    /// The message; `null` when none came.
    pub message: Option<Message>,
}

/// Which message is done.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The message's receipt.
    pub receipt: String,
}

/// Which message is not done.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nack {
    /// The message's receipt.
    pub receipt: String,
    /// Put it back; otherwise it is dead (to the dead-letter queue, where there is one).
    #[serde(default = "yes")]
    pub requeue: bool,
}

/// How a message stands.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Settled {
    /// Whether this settled it. False when it was settled before, or is back in its queue: too late, or its connection was lost.
    pub settled: bool,
}

/// Which message to take back.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retract {
    /// The queue.
    pub queue: String,
    /// The message's id.
    pub message_id: String,
}

/// What `retract` did.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Retracted {
    /// How many messages with this id are gone.
    pub retracted: u64,
}

/// A queue.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueName {
    /// The queue.
    pub queue: String,
}

/// How full a queue is.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Depth {
    /// Messages that wait.
    pub messages: u64,
    /// Consumers on it.
    pub consumers: u64,
}

/// What was taken away.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Purged {
    /// How many messages.
    pub purged: u64,
}

fn yes() -> bool {
    true
}

fn prefetch() -> u16 {
    16
}

fn settle() -> u64 {
    30_000
}
