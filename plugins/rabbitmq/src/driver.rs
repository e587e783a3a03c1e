//! The plugin: how it is opened, closed and kept healthy.

use crate::config::Config;
use crate::connection::{self, Connection};
use crate::receipts::Receipts;
use crate::{error, version};
use chassis_guest::tokio::sync::OnceCell;
use chassis_guest::{Context, Error, Health, Operations, Plugin};
use lapin::options::BasicQosOptions;
use std::sync::Arc;

/// The plugin.
pub struct Rabbit {
    pub(crate) config: Config,
    pub(crate) context: Context,
    pub(crate) connection: Connection,
    pub(crate) receipts: Arc<Receipts>,
    version: OnceCell<String>,
}

impl Plugin for Rabbit {
    type Config = Config;

    fn operations(operations: &mut Operations<Self>) {
        operations.queue();
    }

    async fn open(config: Config, context: Context) -> Result<Self, Error> {
        let connection = connection::keep(&config, &context)?;
        Ok(Self { config, context, connection, receipts: Receipts::new(), version: OnceCell::new() })
    }

    async fn health(&self) -> Result<Health, Error> {
        let lease = self.lease().await?;
        // The smallest question that has an answer.
        let asked = lease.channel.basic_qos(0, BasicQosOptions::default());
        asked.await.map_err(|error| error::of(&error))?;
        lease.give_back();
        let uri = self.config.uri()?;
        let version = self.version.get_or_init(|| version::ask(&uri)).await;
        let details = [("vhost".to_owned(), uri.vhost)].into();
        Ok(Health { server_version: version.clone(), details, pool: None })
    }

    async fn close(&self) {
        self.connection.close().await;
    }
}
