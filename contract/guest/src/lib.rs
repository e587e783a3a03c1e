//! The SDK for authors of Chassis plugins.
//!
//! A plugin is a config struct, a constructor and typed async operations. It writes no unsafe code, no telemetry and no JSON by
//! hand: the host traces, measures, limits and repeats calls by what the plugin's manifest says, and the manifest is made of the
//! Rust types and of `plugin.toml`.
//!
//! ```text
//! chassis_guest::export!(driver::Redis);
//! ```

mod call;
mod context;
pub mod contracts;
mod error;
mod ffi;
mod instance;
mod io;
mod macros;
pub mod manifest;
mod operations;
mod runtime;
mod secret;
mod stream;
mod upload;

pub use call::Call;
pub use chassis_abi::Code;
pub use chassis_abi::manifest::{Effect, TelemetryKind};
pub use context::{Context, Level};
pub use error::Error;
pub use io::{HostIo, HostTask};
pub use operations::Operations;
pub use schemars;
pub use secret::Secret;
pub use serde;
pub use serde_json;
pub use stream::Items;
pub use tokio;
pub use upload::Upload;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;

/// A backend. One value of it is one instance; all its operations may run at the same time.
///
/// Everything runs with the instance's own tokio runtime entered: one background thread, which ends with the instance, and with it
/// whatever was spawned. A panic poisons the instance: the host makes a new one.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// Its configuration. Use `#[serde(deny_unknown_fields)]` and say on each field what it is for: that is the setting's
    /// documentation.
    type Config: DeserializeOwned + JsonSchema + Send;

    /// Says which operations there are.
    fn operations(operations: &mut Operations<Self>);

    /// Makes an instance. It must not wait for a server: one that is down is not fatal, but seen by calls and by `health`.
    ///
    /// # Errors
    /// A setting that cannot be right; name it with [`Error::field`].
    fn open(config: Self::Config, context: Context) -> impl Future<Output = Result<Self, Error>> + Send;

    /// Asks the server how it is: one small round trip.
    ///
    /// # Errors
    /// `unavailable` when the server does not answer.
    fn health(&self) -> impl Future<Output = Result<Health, Error>> + Send;

    /// Closes in good order: pools, sessions. What is left is ended when the value is dropped.
    fn close(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// How a server is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
pub struct Health {
    /// The server's version, as it calls it.
    pub server_version: String,
    /// More, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// The connection pool, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
}

/// A connection pool, as the metrics `db.client.connection.*` want it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
pub struct Pool {
    /// Connections in use.
    pub used: u32,
    /// Connections that wait for use.
    pub idle: u32,
    /// At most so many connections.
    pub max: u32,
    /// Calls that wait for a connection, where the driver tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
}

#[doc(hidden)]
pub mod __private {
    pub use crate::ffi::{Env, begin_bytes, begin_raw, begin_stream, begin_unary, section, table};
    pub use chassis_abi::ChassisPlugin;
    pub use chassis_abi::manifest::ManifestSection;
}
