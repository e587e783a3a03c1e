//! A host's hold on its runs. It lasts for a while after the journal last heard of the host; then others may take the runs.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// The hold of one life of a host: after a restart it is another one.
#[derive(Debug)]
pub struct Lease {
    host: String,
    name: String,
    length: Duration,
    renewed: Mutex<Option<Instant>>,
}

impl Lease {
    /// A lease that has yet to be renewed for the first time.
    pub fn new(name: &str, length: Duration) -> Self {
        let host = uuid::Uuid::now_v7().to_string();
        Self { host, name: name.to_owned(), length, renewed: Mutex::default() }
    }

    /// The id of this life of the host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host, for a person.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long it lasts.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// How often it is to be renewed.
    pub fn interval(&self) -> Duration {
        self.length / 4
    }

    /// Whether nobody else can have taken the runs yet. A host that stood still for longer must look before it sends anything.
    pub fn is_sure(&self) -> bool {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.is_some_and(|renewed| renewed.elapsed() < self.length)
    }

    /// Takes note of a renewal that was asked for at `asked`.
    pub(super) fn renewed(&self, asked: Instant) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
    }
}
