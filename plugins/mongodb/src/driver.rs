//! The plugin: how it is opened, asked and closed.

use crate::config::Config;
use crate::error;
use crate::pool::PoolCounter;
use crate::turn;
use bson::{Document, doc};
use chassis_guest::{Context, Effect, Error, Health, Operations, Plugin};
use mongodb::{Client, Collection, Database};

/// The plugin.
pub struct MongoDb {
    pub(crate) context: Context,
    client: Client,
    database: Database,
    pool: PoolCounter,
    pool_size: u32,
}

impl Plugin for MongoDb {
    type Config = Config;

    fn operations(operations: &mut Operations<Self>) {
        operations.documents();
    }

    async fn open(config: Config, context: Context) -> Result<Self, Error> {
        let pool = PoolCounter::default();
        let (options, database) = config.options(&pool).await?;
        let refused = |error| Error::invalid("url", "the driver refuses the settings").caused_by(&error);
        let client = Client::with_options(options).map_err(refused)?;
        let database = client.database(&database);
        Ok(Self { context, client, database, pool, pool_size: config.pool_size.max(1) })
    }

    async fn health(&self) -> Result<Health, Error> {
        let database = self.database.clone();
        let info = turn::run(&self.context, async move {
            let info = database.run_command(doc! { "buildInfo": 1 }).await;
            info.map_err(|error| error::of(&error, Effect::Read))
        });
        let info = info.await?;
        Ok(Health {
            server_version: info.get_str("version").unwrap_or("unknown").to_owned(),
            pool: Some(self.pool.now(self.pool_size)),
            ..Health::default()
        })
    }

    async fn close(&self) {
        self.client.clone().shutdown().immediate(true).await;
    }
}

impl MongoDb {
    /// A collection of the instance's database.
    pub fn collection(&self, name: &str) -> Result<Collection<Document>, Error> {
        if name.is_empty() || name.contains('\0') || name.contains('$') {
            return Err(Error::invalid("collection", "not a name for a collection"));
        }
        Ok(self.database.collection(name))
    }
}
