//! `search`: FTS5. An index has a full-text table with a row for each text of a document; which documents there are stands in a
//! plain table.

mod index;
mod query;

use crate::db::Db;
use crate::driver::Embedded;
use crate::filter::Condition;
use crate::ops::Part;
use chassis_guest::contracts::search::{
    Action, ById, Count, Counted, CreateIndex, Created, Delete, Deleted, Document, Done, FieldKind, Hits,
    Index, IndexName, Indexed, Query, Search,
};
use chassis_guest::contracts::{Batch, BatchOutput, Object};
use chassis_guest::serde_json;
use chassis_guest::{Call, Code, Error};
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;

pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS chassis_search_indices (name TEXT PRIMARY KEY, fields TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS chassis_search_documents (
        seq INTEGER PRIMARY KEY, name TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (name, id))",
];

impl Search for Embedded {
    async fn create_index(&self, _: Call<'_>, input: CreateIndex) -> Result<Created, Error> {
        let mut db = self.store.begin(Part::Search).await?;
        let created = index::create(&mut db, &input.index, &input.fields).await?;
        db.commit().await?;
        Ok(Created { created })
    }

    async fn delete_index(&self, _: Call<'_>, input: IndexName) -> Result<Deleted, Error> {
        let mut db = self.store.begin(Part::Search).await?;
        let deleted = index::drop(&mut db, &input.index).await?;
        db.commit().await?;
        Ok(Deleted { deleted })
    }

    async fn index(&self, _: Call<'_>, input: Index) -> Result<Indexed, Error> {
        let mut db = self.store.begin(Part::Search).await?;
        let indexed = index::write(&mut db, &input).await?;
        db.commit().await?;
        Ok(indexed)
    }

    async fn index_many(&self, _: Call<'_>, input: Batch<Index>) -> Result<BatchOutput<Indexed>, Error> {
        let mut db = self.store.begin(Part::Search).await?;
        let mut results = Vec::with_capacity(input.items.len());
        for item in &input.items {
            results.push(alone(&mut db, async |db| index::write(db, item).await).await?);
        }
        db.commit().await?;
        Ok(results.into_iter().collect())
    }

    async fn get(&self, _: Call<'_>, input: ById) -> Result<Document, Error> {
        let select = "SELECT body FROM chassis_search_documents WHERE name = ? AND id = ?";
        let mut db = self.store.read(Part::Search).await?;
        let row = db.first(sqlx::query(select).bind(input.index).bind(input.id)).await?;
        Ok(Document { document: row.map(|row| document(row.get(0))).transpose()? })
    }

    async fn search(&self, _: Call<'_>, input: Query) -> Result<Hits, Error> {
        query::run(&mut self.store.read(Part::Search).await?, &input).await
    }

    async fn delete(&self, _: Call<'_>, input: Delete) -> Result<Deleted, Error> {
        let mut db = self.store.begin(Part::Search).await?;
        let deleted = index::delete(&mut db, &input.index, &input.id).await?;
        db.commit().await?;
        Ok(Deleted { deleted })
    }

    async fn bulk(&self, _: Call<'_>, input: Batch<Action>) -> Result<BatchOutput<Done>, Error> {
        let mut db = self.store.begin(Part::Search).await?;
        let mut results = Vec::with_capacity(input.items.len());
        for item in &input.items {
            results.push(alone(&mut db, async |db| act(db, item).await).await?);
        }
        db.commit().await?;
        Ok(results.into_iter().collect())
    }

    async fn count(&self, _: Call<'_>, input: Count) -> Result<Counted, Error> {
        let mut db = self.store.read(Part::Search).await?;
        known(&mut db, &input.index).await?;
        let condition = Condition::of(&input.filter, "body")?;
        let select =
            format!("SELECT count(*) FROM chassis_search_documents WHERE name = ? AND {}", condition.sql);
        let query = condition.bind(sqlx::query(AssertSqlSafe(select)).bind(input.index));
        let count = db.first(query).await?.map_or(0, |row| row.get::<i64, _>(0));
        Ok(Counted { count: count.unsigned_abs() })
    }
}

/// An index's fields; `not_found` without it.
async fn known(db: &mut Db, index: &str) -> Result<BTreeMap<String, FieldKind>, Error> {
    index::fields(db, index)
        .await?
        .ok_or_else(|| Error::new(Code::NotFound, format!("there is no index `{index}`")).field("index"))
}

/// One item of a batch: it is several statements, so what it did before it failed is taken back.
async fn alone<T>(
    db: &mut Db,
    item: impl AsyncFnOnce(&mut Db) -> Result<T, Error>,
) -> Result<Result<T, Error>, Error> {
    db.done(sqlx::query("SAVEPOINT item")).await?;
    let result = item(db).await;
    if result.is_err() {
        db.done(sqlx::query("ROLLBACK TO item")).await?;
    }
    db.done(sqlx::query("RELEASE item")).await?;
    Ok(result)
}

async fn act(db: &mut Db, action: &Action) -> Result<Done, Error> {
    match action {
        Action::Index(input) => {
            let created = index::write(db, input).await?.created;
            let result = if created { "created" } else { "updated" };
            Ok(Done { id: input.id.clone(), result: result.to_owned() })
        }
        Action::Delete(input) => {
            let deleted = index::delete(db, &input.index, &input.id).await?;
            let result = if deleted { "deleted" } else { "not_found" };
            Ok(Done { id: input.id.clone(), result: result.to_owned() })
        }
    }
}

fn document(body: &str) -> Result<Object, Error> {
    serde_json::from_str(body)
        .map_err(|error| Error::new(Code::DataLoss, "a stored document is not JSON").caused_by(&error))
}
