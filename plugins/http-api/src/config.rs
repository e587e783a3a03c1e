//! Settings.

use chassis_guest::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the API is: `https://host/v1`. A user and password in it are sent as basic authentication.
    pub base_url: Secret,
    /// Sent as a bearer token.
    #[serde(default)]
    pub bearer: Option<Secret>,
    /// Headers of every request; those of a call win.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Path that health asks, and that must answer below 400. Without it, any answer of the API's root below 500 will do.
    #[serde(default)]
    pub health_path: Option<String>,
    /// A longer answer is refused, in bytes.
    #[serde(default = "body_limit")]
    pub body_limit: u64,
    /// How long connecting may take, in milliseconds.
    #[serde(default = "connect_timeout")]
    pub connect_timeout_ms: u64,
    /// So many unused connections are kept.
    #[serde(default = "pool_max_idle")]
    pub pool_max_idle: usize,
    /// How long an unused connection is kept, in milliseconds.
    #[serde(default = "pool_idle_timeout")]
    pub pool_idle_timeout_ms: u64,
}

fn body_limit() -> u64 {
    8 * 1024 * 1024
}

fn connect_timeout() -> u64 {
    2000
}

fn pool_max_idle() -> usize {
    32
}

fn pool_idle_timeout() -> u64 {
    60_000
}
