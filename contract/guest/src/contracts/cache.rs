//! `cache`: keys and values with expiry.

use super::{Batch, BatchOutput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

crate::contract! {
    /// Keys and values with expiry.
    pub trait Cache = "cache", kind = Database {
        /// Reads a value; `null` when the key is not there.
        unary get(Get) -> GetOutput { effect: Read, idempotent: true, batched_by: "get_many" }
        /// Reads many values at once.
        unary get_many(Batch<Get>) -> BatchOutput<GetOutput> { effect: Read, idempotent: true }
        /// Writes a value.
        unary set(Set) -> SetOutput { effect: Write, idempotent: true, batched_by: "set_many" }
        /// Writes many values at once.
        unary set_many(Batch<Set>) -> BatchOutput<SetOutput> { effect: Write, idempotent: true }
        /// Deletes a key.
        unary delete(Key) -> Deleted { effect: Write, idempotent: true }
        /// Gives a key a new time to live.
        unary expire(Expire) -> Expired { effect: Write, idempotent: true }
        /// Adds to a number and answers the sum; a key that is not there counts as 0.
        unary increment(Increment) -> Number { effect: Write }
        /// Reads a value as raw bytes.
        raw get_raw(Key) -> Found { effect: Read, idempotent: true }
        /// Writes the raw attachment as a value.
        unary set_raw(SetRaw) -> SetOutput { effect: Write, idempotent: true, raw_input: true }
    }
}

/// A key.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key.
    pub key: String,
}

/// What to read.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Get {
    /// The key.
    pub key: String,
    /// Read the value as JSON; otherwise it is answered as a string.
    #[serde(default)]
    pub json: bool,
}

/// What was read.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct GetOutput {
    /// The value; `null` when the key is not there.
    pub value: Option<Value>,
}

/// What to write.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// The key.
    pub key: String,
    /// A string is stored as it is, anything else as compact JSON.
    pub value: Value,
    /// Time to live in milliseconds, at least 1; none means for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub ttl_ms: Option<u64>,
    /// Write only when the key is not there.
    #[serde(default)]
    pub if_absent: bool,
}

/// What to write from the raw attachment.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRaw {
    /// The key.
    pub key: String,
    /// Time to live in milliseconds, at least 1; none means for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub ttl_ms: Option<u64>,
    /// Write only when the key is not there.
    #[serde(default)]
    pub if_absent: bool,
}

/// Whether it was written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct SetOutput {
    /// False when `if_absent` found the key.
    pub stored: bool,
}

/// Whether something was deleted.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Deleted {
    /// False when the key was not there.
    pub deleted: bool,
}

/// Whether the raw attachment is a value.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Found {
    /// False when the key is not there; the attachment is then empty.
    pub found: bool,
}

/// A new time to live.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expire {
    /// The key.
    pub key: String,
    /// Time to live in milliseconds, at least 1.
    #[schemars(range(min = 1))]
    pub ttl_ms: u64,
}

/// Whether there was a key.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Expired {
    /// False when the key was not there.
    pub exists: bool,
}

/// What to add.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Increment {
    /// The key.
    pub key: String,
    /// How much; may be negative.
    #[serde(default = "one")]
    pub by: i64,
}

/// A number.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Number {
    /// The number.
    pub value: i64,
}

fn one() -> i64 {
    1
}
