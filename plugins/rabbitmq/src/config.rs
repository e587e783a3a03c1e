//! Settings.

use chassis_guest::{Error, Secret};
use lapin::uri::AMQPUri;
use schemars::JsonSchema;
use serde::Deserialize;

/// What RabbitMQ itself offers.
const FRAME_MAX: u32 = 128 * 1024;

/// Settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the broker is: `amqp://user:password@host:port/vhost`, `amqps://…` for TLS.
    pub url: Secret,
    /// The password, when it is not part of the URL.
    #[serde(default)]
    pub password: Option<Secret>,
    /// How long one attempt to connect may take, in milliseconds.
    #[serde(default = "connect_timeout")]
    pub connect_timeout_ms: u64,
    /// A peer that says nothing for so many seconds is gone.
    #[serde(default = "heartbeat")]
    pub heartbeat_s: u16,
    /// How often a quorum queue with a dead-letter queue delivers a message before it is dead.
    #[serde(default = "delivery_limit")]
    pub delivery_limit: u32,
}

impl Config {
    /// The broker's address with all that belongs to it.
    pub fn uri(&self) -> Result<AMQPUri, Error> {
        // Why it is wrong could quote it, password and all.
        let wrong = |_| Error::invalid("url", "not the URL of an AMQP broker");
        let mut uri: AMQPUri = self.url.expose().parse().map_err(wrong)?;
        if let Some(password) = &self.password {
            password.expose().clone_into(&mut uri.authority.userinfo.password);
        }
        uri.query.heartbeat.get_or_insert(self.heartbeat_s);
        // Of what the broker offers the smaller counts: the driver makes room for 32 frames at once.
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        Ok(uri)
    }
}

fn connect_timeout() -> u64 {
    3000
}

fn heartbeat() -> u16 {
    10
}

fn delivery_limit() -> u32 {
    20
}
