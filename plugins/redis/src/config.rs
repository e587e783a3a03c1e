//! Settings.

use chassis_guest::{Error, Secret};
use redis::{Client, ConnectionInfo, IntoConnectionInfo};
use rustls::crypto::ring;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the server is: `redis://[user:password@]host:port`, `rediss://…` for TLS, `unix:///path`.
    pub url: Secret,
    /// The password, when it is not part of the URL.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The database's index; the URL's, or 0, when absent.
    #[serde(default)]
    pub database: Option<u16>,
    /// How long one attempt to connect may take, in milliseconds.
    #[serde(default = "connect_timeout")]
    pub connect_timeout_ms: u64,
}

impl Config {
    /// A client for the server; it connects to nothing yet.
    pub fn client(&self) -> Result<Client, Error> {
        let wrong = |error| Error::invalid("url", "not the URL of a Redis server").caused_by(&error);
        let info: ConnectionInfo = self.url.expose().into_connection_info().map_err(wrong)?;
        let mut settings = info.redis_settings().clone();
        if let Some(password) = &self.password {
            settings = settings.set_password(password.expose());
        }
        if let Some(database) = self.database {
            settings = settings.set_db(database.into());
        }
        // For TLS. There may be one from an earlier instance of this library.
        let _ = ring::default_provider().install_default();
        Client::open(info.set_redis_settings(settings)).map_err(wrong)
    }
}

fn connect_timeout() -> u64 {
    2000
}
