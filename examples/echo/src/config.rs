//! Settings.

use chassis_guest::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What every echo begins with.
    pub prefix: String,
    /// A secret, to show that it is never seen.
    pub token: Option<Secret>,
    /// Health says so.
    pub down: bool,
}
