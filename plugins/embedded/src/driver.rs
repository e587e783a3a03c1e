//! The plugin.

use crate::cache;
use crate::config::Config;
use crate::ops;
use crate::ops::Part;
use crate::queue::Consumers;
use crate::store::Store;
use chassis_guest::{Context, Error, Health, Operations, Plugin};
use sqlx::Row;
use std::sync::Arc;
use std::time::Duration;

/// Five contracts on one SQLite file.
pub struct Embedded {
    pub(crate) store: Arc<Store>,
    pub(crate) config: Config,
    pub(crate) consumers: Arc<Consumers>,
}

impl Plugin for Embedded {
    type Config = Config;

    fn operations(operations: &mut Operations<Self>) {
        ops::register(operations);
    }

    async fn open(config: Config, context: Context) -> Result<Self, Error> {
        if config.path.is_empty() {
            return Err(Error::invalid("path", "must name a file"));
        }
        for (field, value) in [("readers", u64::from(config.readers)), ("poll_ms", config.poll_ms)] {
            if value == 0 {
                return Err(Error::invalid(field, "must be at least 1"));
            }
        }
        let store = Arc::new(Store::new(config.clone(), context.clone()));
        cache::purge(Arc::downgrade(&store), Duration::from_millis(config.purge_ms.max(10)), &context);
        let consumers = Arc::new(Consumers::new(store.clone(), context.clone()));
        Ok(Self { store, config, consumers })
    }

    async fn health(&self) -> Result<Health, Error> {
        let mut db = self.store.read(Part::Plain).await?;
        let row = db
            .first(sqlx::query(
                "SELECT sqlite_version(), (SELECT journal_mode FROM pragma_journal_mode), page_count * page_size
                 FROM pragma_page_count, pragma_page_size",
            ))
            .await?
            .ok_or_else(|| Error::internal("the database does not tell its version"))?;
        let details = [
            ("journal_mode".to_owned(), row.get::<String, _>(1)),
            ("size_bytes".to_owned(), row.get::<i64, _>(2).to_string()),
        ];
        drop(db);
        Ok(Health {
            server_version: format!("SQLite {}", row.get::<String, _>(0)),
            details: details.into(),
            pool: Some(self.store.pool()),
        })
    }

    async fn close(&self) {
        self.consumers.close().await;
        self.store.close().await;
    }
}

impl Embedded {
    /// How often a waiting consumer looks for itself.
    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.config.poll_ms.max(10))
    }
}
