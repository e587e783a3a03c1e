//! The contract `relational`.

use crate::batch::{self, Deletes, Gets, Inserts, Upserts};
use crate::decode;
use crate::driver::Postgres;
use crate::error::{self, Sent};
use crate::migrate;
use crate::pool::{Db, Done};
use chassis_guest::contracts::relational::{
    Affected, ByKey, Insert, Migrate, Migrated, Relational, Row, Rows, Statement, StatementResult,
    Transaction, TransactionOutput, Update, Upsert,
};
use chassis_guest::contracts::{Batch, BatchOutput, Object};
use chassis_guest::{Call, Error, Items};
use futures_util::TryStreamExt;
use sqlx::Either;

impl Relational for Postgres {
    async fn query(&self, _: Call<'_>, input: Statement) -> Result<Rows, Error> {
        let mut db = self.pool.acquire().await?;
        let done = self.run(&mut db, &input).await?;
        Ok(Rows { rows: objects(&done) })
    }

    async fn query_stream(
        &self,
        _: Call<'_>,
        input: Statement,
        mut items: Items<Object>,
    ) -> Result<(), Error> {
        let mut db = self.pool.acquire().await?;
        let query = self.shapes.of(&mut db, &input).await?.query(&input);
        let result = {
            let mut results = db.stream(query).map_err(|cause| error::from(cause, Sent::Harmless))?;
            loop {
                match results.try_next().await {
                    Ok(Some(Either::Right(row))) => items.send(&decode::object(&row, 0)).await?,
                    Ok(Some(Either::Left(_))) => {}
                    Ok(None) => break Ok(()),
                    Err(cause) => break Err(cause),
                }
            }
        };
        db.settle(result).map_err(|cause| error::from(cause, Sent::Harmless))
    }

    async fn execute(&self, _: Call<'_>, input: Statement) -> Result<Affected, Error> {
        let mut db = self.pool.acquire().await?;
        let done = self.run(&mut db, &input).await?;
        Ok(Affected { rows_affected: done.changed })
    }

    async fn transaction(&self, _: Call<'_>, input: Transaction) -> Result<TransactionOutput, Error> {
        let mut db = self.pool.acquire().await?;
        db.begin().await?;
        let mut results = Vec::with_capacity(input.statements.len());
        for (at, statement) in input.statements.iter().enumerate() {
            match self.run(&mut db, statement).await {
                Ok(done) => {
                    results.push(StatementResult { rows_affected: done.changed, rows: objects(&done) });
                }
                Err(error) => {
                    db.rollback().await;
                    return Err(error.caused_by(&At(at)));
                }
            }
        }
        db.commit().await?;
        Ok(TransactionOutput { results })
    }

    async fn migrate(&self, _: Call<'_>, input: Migrate) -> Result<Migrated, Error> {
        let mut db = self.pool.acquire().await?;
        let applied = migrate::run(&mut db, input.migrations).await;
        self.tables.forget();
        Ok(Migrated { applied: applied? })
    }

    async fn insert(&self, _: Call<'_>, input: Insert) -> Result<Row, Error> {
        batch::one::<Inserts>(&self.pool, &self.tables, &input).await
    }

    async fn insert_many(&self, _: Call<'_>, input: Batch<Insert>) -> Result<BatchOutput<Row>, Error> {
        batch::many::<Inserts>(&self.pool, &self.tables, &input.items).await
    }

    async fn upsert(&self, _: Call<'_>, input: Upsert) -> Result<Row, Error> {
        batch::one::<Upserts>(&self.pool, &self.tables, &input).await
    }

    async fn upsert_many(&self, _: Call<'_>, input: Batch<Upsert>) -> Result<BatchOutput<Row>, Error> {
        batch::many::<Upserts>(&self.pool, &self.tables, &input.items).await
    }

    async fn update(&self, _: Call<'_>, input: Update) -> Result<Affected, Error> {
        let mut db = self.pool.acquire().await?;
        let columns = input.values.keys().chain(input.key.keys());
        let table = self.tables.of(&mut db, &input.table, columns).await?;
        let done = db.done(table.update(&input)?, Sent::Write).await;
        self.tables.checked(&input.table, done).map(|done| Affected { rows_affected: done.changed })
    }

    async fn get(&self, _: Call<'_>, input: ByKey) -> Result<Row, Error> {
        batch::one::<Gets>(&self.pool, &self.tables, &input).await
    }

    async fn get_many(&self, _: Call<'_>, input: Batch<ByKey>) -> Result<BatchOutput<Row>, Error> {
        batch::many::<Gets>(&self.pool, &self.tables, &input.items).await
    }

    async fn delete(&self, _: Call<'_>, input: ByKey) -> Result<Affected, Error> {
        let mut db = self.pool.acquire().await?;
        let table = self.tables.of(&mut db, &input.table, input.key.keys()).await?;
        let done = db.done(table.delete(&input)?, Sent::Write).await;
        self.tables.checked(&input.table, done).map(|done| Affected { rows_affected: done.changed })
    }

    async fn delete_many(&self, _: Call<'_>, input: Batch<ByKey>) -> Result<BatchOutput<Affected>, Error> {
        batch::many::<Deletes>(&self.pool, &self.tables, &input.items).await
    }
}

impl Postgres {
    async fn run(&self, db: &mut Db, input: &Statement) -> Result<Done, Error> {
        let shape = self.shapes.of(db, input).await?;
        let done = db.done(shape.query(input), shape.sent).await;
        if done.is_err() {
            self.shapes.forget(&input.sql);
        }
        done
    }
}

fn objects(done: &Done) -> Vec<Object> {
    done.rows.iter().map(|row| decode::object(row, 0)).collect()
}

/// Which statement of a transaction failed.
#[derive(Debug)]
struct At(usize);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "statements[{}] failed; nothing of the transaction was kept", self.0)
    }
}

impl std::error::Error for At {}
