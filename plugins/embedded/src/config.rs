//! Settings.

use schemars::JsonSchema;
use serde::Deserialize;

/// Settings.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The database file. It and its folder are made when they are not there. One file for each instance.
    pub path: String,
    /// At most so many connections that read, each with a thread of its own. They are opened when they are needed.
    #[serde(default = "readers")]
    #[schemars(range(min = 1, max = 64))]
    pub readers: u32,
    /// How long to wait for another process that writes to the same file, in milliseconds.
    #[serde(default = "busy_timeout")]
    pub busy_timeout_ms: u64,
    /// How often a waiting consumer looks for messages of other processes, in milliseconds. Those of this process are
    /// seen at once.
    #[serde(default = "poll")]
    #[schemars(range(min = 10))]
    pub poll_ms: u64,
    /// How often expired cache entries are cleared away, in milliseconds. They are never answered, cleared or not.
    #[serde(default = "purge")]
    #[schemars(range(min = 10))]
    pub purge_ms: u64,
    /// A message of a quorum queue that was put back so often is dead.
    #[serde(default = "delivery_limit")]
    #[schemars(range(min = 1))]
    pub delivery_limit: u32,
}

fn readers() -> u32 {
    4
}

fn busy_timeout() -> u64 {
    5_000
}

fn poll() -> u64 {
    250
}

fn purge() -> u64 {
    30_000
}

fn delivery_limit() -> u32 {
    20
}
