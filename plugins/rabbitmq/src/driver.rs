//! The plugin: how it is opened, closed and kept healthy.

use crate::config::Config;
use crate::connection::{self, Connection};
use crate::error;
use crate::receipts::Receipts;
use chassis_guest::{Context, Error, Health, Operations, Plugin};
use futures_util::lock::Mutex as Lock;
use lapin::options::BasicQosOptions;
use std::sync::Arc;

/// The plugin.
pub struct Rabbit {
    pub(crate) config: Config,
    pub(crate) context: Context,
    pub(crate) connection: Connection,
    pub(crate) receipts: Arc<Receipts>,
    /// Held by the one who looks through a queue: what he holds meanwhile, another would not find.
    pub(crate) looking: Lock<()>,
}

impl Plugin for Rabbit {
    type Config = Config;

    fn operations(operations: &mut Operations<Self>) {
        operations.queue();
    }

    async fn open(config: Config, context: Context) -> Result<Self, Error> {
        let connection = connection::keep(&config, &context)?;
        Ok(Self { config, context, connection, receipts: Receipts::new(), looking: Lock::new(()) })
    }

    async fn health(&self) -> Result<Health, Error> {
        let lease = self.lease().await?;
        // The smallest question that has an answer.
        let asked = lease.channel.basic_qos(0, BasicQosOptions::default());
        asked.await.map_err(|error| error::of(&error))?;
        let server_version = lease.version().to_owned();
        lease.give_back();
        let details = [("vhost".to_owned(), self.config.uri()?.vhost)].into();
        Ok(Health { server_version, details, pool: None })
    }

    async fn close(&self) {
        self.connection.close().await;
    }
}
