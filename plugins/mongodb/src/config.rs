//! Settings.

use crate::pool::PoolCounter;
use chassis_guest::{Error, Secret};
use mongodb::options::{ClientOptions, Tls, TlsOptions};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// Settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the server is: `mongodb://[user:password@]host:port[/database]`, or `mongodb+srv://…`.
    pub url: Secret,
    /// The database; the URL's when absent.
    #[serde(default)]
    pub database: Option<String>,
    /// At most so many connections.
    #[serde(default = "pool_size")]
    pub pool_size: u32,
    /// How long to look for a server that answers, in milliseconds.
    #[serde(default = "server_selection_timeout")]
    pub server_selection_timeout_ms: u64,
    /// How long one attempt to connect may take, in milliseconds.
    #[serde(default = "connect_timeout")]
    pub connect_timeout_ms: u64,
    /// Whether connections are encrypted; what the URL says when absent.
    #[serde(default)]
    pub tls: Option<bool>,
    /// Certificates to trust (a PEM file), instead of the public ones.
    #[serde(default)]
    pub tls_ca_file: Option<PathBuf>,
}

impl Config {
    /// The driver's options, and the name of the database.
    pub async fn options(&self, pool: &PoolCounter) -> Result<(ClientOptions, String), Error> {
        let parsed = ClientOptions::parse(self.url.expose()).await;
        // The driver's message may repeat the URL, and with it the password.
        let mut options = parsed.map_err(|_| Error::invalid("url", "not the URL of a MongoDB server"))?;
        let database = self.database.clone().or_else(|| options.default_database.clone());
        let database = database.ok_or_else(|| Error::invalid("database", "neither here nor in the URL"))?;
        options.app_name = Some("chassis".to_owned());
        options.max_pool_size = Some(self.pool_size.max(1));
        options.connect_timeout = Some(Duration::from_millis(self.connect_timeout_ms));
        options.server_selection_timeout = Some(Duration::from_millis(self.server_selection_timeout_ms));
        options.retry_reads = Some(false);
        options.retry_writes = Some(false);
        options.cmap_event_handler = Some(pool.handler());
        if self.tls == Some(false) {
            options.tls = Some(Tls::Disabled);
        } else if self.tls == Some(true) || self.tls_ca_file.is_some() {
            let mut tls = TlsOptions::default();
            tls.ca_file_path = self.tls_ca_file.clone();
            options.tls = Some(Tls::Enabled(tls));
        }
        Ok((options, database))
    }
}

fn pool_size() -> u32 {
    32
}

fn server_selection_timeout() -> u64 {
    1500
}

fn connect_timeout() -> u64 {
    1000
}
