//! `[edge]` of the configuration.

use crate::config::units::{Size, Span};
use serde::{Deserialize, Serialize};

/// Where the edge listens, and how much it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Address and port; port 0 takes any free one.
    pub listen: String,
    /// The largest body of a request, and the longest line of an upload.
    pub body_limit: Size,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub header_timeout: Span,
    /// How long the body of a request may take.
    pub body_timeout: Span,
    /// How long a client may take none of an answer that is ready; then its connection is closed. On Linux (TCP_USER_TIMEOUT in tcp(7)); elsewhere
    /// it is waited for.
    pub write_timeout: Span,
    /// Connections at a time; one more is answered 503 and closed.
    pub connection_limit: usize,
    /// Items of an answered stream that are on their way to a client at a time.
    pub stream_window: u32,
    /// How long answered streams may go on after the host began to drain; then they end with `unavailable`.
    pub stream_grace: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7700".to_owned(),
            body_limit: Size(1 << 20),
            header_timeout: Span::secs(10),
            body_timeout: Span::secs(30),
            write_timeout: Span::secs(30),
            connection_limit: 1024,
            stream_window: 16,
            stream_grace: Span::secs(2),
        }
    }
}
