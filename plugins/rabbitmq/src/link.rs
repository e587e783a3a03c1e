//! One connection and its channels.

use crate::error;
use crate::leash::Leash;
use chassis_guest::Error;
use chassis_guest::tokio::time::timeout;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many unused channels are kept.
const IDLE: usize = 64;

/// How long a broker may take to say good-bye.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// One connection. When it is lost, there will be another one.
pub struct Link {
    pub connection: Connection,
    /// The broker's.
    pub version: String,
    leash: Arc<Leash>,
    idle: Mutex<Vec<Channel>>,
}

impl Link {
    pub fn new(connection: Connection, version: String, leash: Arc<Leash>) -> Self {
        Self { connection, version, leash, idle: Mutex::default() }
    }

    /// A channel that nobody else uses: an error ends a channel and all that waits on it, and a returned message can be told
    /// from others only when nothing else is on its way.
    pub async fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        let usable = std::iter::from_fn(|| self.idle().pop()).find(|channel| channel.status().connected());
        let channel = match usable {
            Some(channel) => channel,
            None => {
                let channel = self.connection.create_channel().await.map_err(|error| error::of(&error))?;
                let confirm = channel.confirm_select(ConfirmSelectOptions::default());
                confirm.await.map_err(|error| error::of(&error))?;
                channel
            }
        };
        Ok(Lease { link: Arc::clone(self), channel })
    }

    /// Ends it in good order.
    pub async fn close(&self) {
        // One that is lost already needs no good-bye; of one that hears none the driver's thread would not end.
        if timeout(FAREWELL, self.connection.close(200, "closed".into())).await.is_err() {
            self.leash.pull();
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel in use. Dropped, it is closed, and what was unsettled on it goes back to its queue.
pub struct Lease {
    link: Arc<Link>,
    pub channel: Channel,
}

impl Lease {
    /// The broker's version.
    pub fn version(&self) -> &str {
        &self.link.version
    }

    /// The channel has nothing more on its way and may be used again.
    pub fn give_back(self) {
        let mut idle = self.link.idle();
        if idle.len() < IDLE && self.channel.status().connected() {
            idle.push(self.channel);
        }
    }
}
