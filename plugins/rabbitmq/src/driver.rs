//! The plugin: how it is opened, closed and kept healthy.

use crate::config::Config;
use crate::connection::{self, Connection};
use crate::error;
use crate::receipts::Receipts;
use crate::retract::Retracts;
use chassis_guest::{Context, Error, Health, Operations, Plugin};
use lapin::options::BasicQosOptions;
use std::sync::Arc;

/// The plugin.
pub struct Rabbit {
    pub(crate) config: Config,
    pub(crate) context: Context,
    pub(crate) connection: Arc<Connection>,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) retracts: Arc<Retracts>,
}

impl Plugin for Rabbit {
    type Config = Config;

    fn operations(operations: &mut Operations<Self>) {
        operations.queue();
    }

    async fn open(config: Config, context: Context) -> Result<Self, Error> {
        let connection = Arc::new(connection::keep(&config, &context)?);
        Ok(Self { config, context, connection, receipts: Receipts::new(), retracts: Arc::default() })
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
