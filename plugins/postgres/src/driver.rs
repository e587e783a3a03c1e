//! The plugin.

use crate::config::Config;
use crate::error::Sent;
use crate::pool::Pool;
use crate::statement::Shapes;
use crate::table::Tables;
use chassis_guest::{Context, Error, Health, Operations, Plugin};
use sqlx::Row;
use std::sync::Arc;

/// PostgreSQL.
pub struct Postgres {
    pub(crate) pool: Arc<Pool>,
    pub(crate) shapes: Shapes,
    pub(crate) tables: Tables,
}

impl Plugin for Postgres {
    type Config = Config;

    fn operations(operations: &mut Operations<Self>) {
        operations.relational();
    }

    async fn open(config: Config, context: Context) -> Result<Self, Error> {
        if config.pool_size == 0 {
            return Err(Error::invalid("pool_size", "must be at least 1"));
        }
        let pool = Pool::new(config, context)?;
        Ok(Self { pool, shapes: Shapes::default(), tables: Tables::default() })
    }

    async fn health(&self) -> Result<Health, Error> {
        let mut db = self.pool.acquire().await?;
        let select = "SELECT current_setting('server_version'), current_database()::text,
            coalesce(current_schema()::text, ''), pg_is_in_recovery()";
        let done = db.done(sqlx::query(select), Sent::Harmless).await?;
        drop(db);
        let row = done.rows.first().ok_or_else(|| Error::internal("the server does not tell its version"))?;
        let text = |at: usize| row.try_get::<String, _>(at).unwrap_or_default();
        let read_only = row.try_get::<bool, _>(3).unwrap_or_default();
        let details = [
            ("database".to_owned(), text(1)),
            ("schema".to_owned(), text(2)),
            ("read_only".to_owned(), read_only.to_string()),
        ];
        Ok(Health { server_version: text(0), details: details.into(), pool: Some(self.pool.usage()) })
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
