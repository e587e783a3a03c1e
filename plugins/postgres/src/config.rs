//! Settings.

use chassis_guest::{Error, Secret};
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::str::FromStr;

/// Settings. The server is named by `url`, or by `host` and the rest; what is named by both is taken from the rest.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the server is: `postgres://user:password@host:port/database`.
    #[serde(default)]
    pub url: Option<Secret>,
    /// The server's name, address, or folder of its socket.
    #[serde(default)]
    pub host: Option<String>,
    /// The server's port.
    #[serde(default)]
    pub port: Option<u16>,
    /// The user.
    #[serde(default)]
    pub user: Option<String>,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The database.
    #[serde(default)]
    pub database: Option<String>,
    /// The schema that tables are looked up and made in; the user's search path when absent.
    #[serde(default)]
    pub schema: Option<String>,
    /// Whether and how the connection is encrypted; as the URL's `sslmode` says, or `prefer`, when absent.
    #[serde(default)]
    pub tls_mode: Option<TlsMode>,
    /// A file of certificates (PEM) to trust instead of the system's.
    #[serde(default)]
    pub tls_root_cert: Option<String>,
    /// At most so many connections. They are opened when they are needed.
    #[serde(default = "pool_size")]
    #[schemars(range(min = 1))]
    pub pool_size: u32,
    /// How long a call waits for a free connection, in milliseconds.
    #[serde(default = "acquire_timeout")]
    pub acquire_timeout_ms: u64,
    /// How long one attempt to connect may take, in milliseconds.
    #[serde(default = "connect_timeout")]
    pub connect_timeout_ms: u64,
    /// How many prepared statements each connection keeps.
    #[serde(default = "statement_cache")]
    pub statement_cache: usize,
    /// The server gives up a statement after so long, in milliseconds; never when absent. A call that is given up here stops its
    /// statement in any case.
    #[serde(default)]
    pub statement_timeout_ms: Option<u64>,
}

/// Whether and how a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server can.
    Prefer,
    /// Always, whoever the server is.
    Require,
    /// Always, and the server's certificate must be of a trusted authority.
    VerifyCa,
    /// Always, and the certificate must be of a trusted authority and name the host.
    VerifyFull,
}

impl Config {
    /// The driver's options.
    pub(crate) fn options(&self, instance: &str) -> Result<PgConnectOptions, Error> {
        let mut options = match &self.url {
            // The driver's reason may hold a part of the URL, and with it of the password.
            Some(url) => PgConnectOptions::from_str(url.expose())
                .map_err(|_| Error::invalid("url", "is not a URL of a PostgreSQL server"))?,
            None if self.host.is_none() => return Err(Error::invalid("url", "url or host must be given")),
            None => PgConnectOptions::new_without_pgpass(),
        };
        if let Some(host) = &self.host {
            options = options.host(host);
        }
        if let Some(port) = self.port {
            options = options.port(port);
        }
        if let Some(user) = &self.user {
            options = options.username(user);
        }
        if let Some(password) = &self.password {
            options = options.password(password.expose());
        }
        if let Some(database) = &self.database {
            options = options.database(database);
        }
        if let Some(schema) = &self.schema {
            let quoted = crate::sql::quoted(schema, "schema")?;
            options = options.options([("search_path", quoted)]);
        }
        if let Some(timeout) = self.statement_timeout_ms {
            options = options.options([("statement_timeout", timeout.to_string())]);
        }
        if let Some(file) = &self.tls_root_cert {
            options = options.ssl_root_cert(file);
        }
        if let Some(mode) = self.tls_mode {
            options = options.ssl_mode(mode.into());
        }
        let options = options.statement_cache_capacity(self.statement_cache);
        Ok(options.application_name(&format!("chassis/{instance}")))
    }
}

impl From<TlsMode> for PgSslMode {
    fn from(mode: TlsMode) -> Self {
        match mode {
            TlsMode::Disable => Self::Disable,
            TlsMode::Prefer => Self::Prefer,
            TlsMode::Require => Self::Require,
            TlsMode::VerifyCa => Self::VerifyCa,
            TlsMode::VerifyFull => Self::VerifyFull,
        }
    }
}

fn pool_size() -> u32 {
    10
}

fn acquire_timeout() -> u64 {
    5_000
}

fn connect_timeout() -> u64 {
    2_000
}

fn statement_cache() -> usize {
    100
}
