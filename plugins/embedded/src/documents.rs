//! `documents`: a table for each collection, a row for each document, its JSON in one column.

use crate::db::{Db, Query};
use crate::driver::Embedded;
use crate::filter::{self, Condition};
use crate::ops::Part;
use crate::{error, json, sql};
use chassis_guest::contracts::documents::{
    Count, Counted, CreateIndex, Delete, Deleted, Documents, Find, FindOne, Found, FoundOne, IndexName,
    Insert, Inserted, Sort, Update, Updated,
};
use chassis_guest::contracts::{Batch, BatchOutput, Object};
use chassis_guest::serde_json::{self, Value};
use chassis_guest::{Call, Code, Error, Items};
use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Either, Row};

impl Documents for Embedded {
    async fn insert(&self, _: Call<'_>, input: Insert) -> Result<Inserted, Error> {
        let mut db = self.store.begin(Part::Plain).await?;
        let inserted = insert(&mut db, &input.collection, input.document).await?;
        db.commit().await?;
        Ok(inserted)
    }

    async fn insert_many(&self, _: Call<'_>, input: Batch<Insert>) -> Result<BatchOutput<Inserted>, Error> {
        let mut db = self.store.begin(Part::Plain).await?;
        let mut results = Vec::with_capacity(input.items.len());
        for item in input.items {
            results.push(insert(&mut db, &item.collection, item.document).await);
        }
        db.commit().await?;
        Ok(results.into_iter().collect())
    }

    async fn find(&self, _: Call<'_>, input: Find) -> Result<Found, Error> {
        let select = Select::of(&input)?;
        let mut db = self.store.read(Part::Plain).await?;
        let rows = select.rows(&mut db).await?;
        Ok(Found { documents: rows.iter().map(body).collect::<Result<_, _>>()? })
    }

    async fn find_stream(&self, _: Call<'_>, input: Find, mut items: Items<Object>) -> Result<(), Error> {
        let select = Select::of(&input)?;
        let mut db = self.store.stream().await?;
        let Some(mut results) = db.stream(select.query()) else { return Ok(()) };
        loop {
            match results.try_next().await {
                Ok(Some(Either::Right(row))) => items.send(&body(&row)?).await?,
                Ok(Some(Either::Left(_))) => {}
                Ok(None) => return Ok(()),
                Err(cause) if error::is_missing_table(&cause) => return Ok(()),
                Err(cause) => return Err(error::from(cause)),
            }
        }
    }

    async fn find_one(&self, _: Call<'_>, input: FindOne) -> Result<FoundOne, Error> {
        let select = Select::first(&input.collection, &input.filter, 1)?;
        let mut db = self.store.read(Part::Plain).await?;
        Ok(FoundOne { document: select.rows(&mut db).await?.first().map(body).transpose()? })
    }

    async fn update(&self, _: Call<'_>, input: Update) -> Result<Updated, Error> {
        check(&input)?;
        let table = table(&input.collection)?;
        let limit = if input.many { -1 } else { 1 };
        let select = Select::first(&input.collection, &input.filter, limit)?;
        let mut db = self.store.begin(Part::Plain).await?;
        let rows = select.rows(&mut db).await?;
        let mut updated = Updated { matched: rows.len() as u64, modified: 0, upserted_id: None };
        for row in &rows {
            let old = body(row)?;
            let new = changed(old.clone(), &input)?;
            if new != old {
                let update = format!("UPDATE {table} SET body = ? WHERE seq = ?");
                let query = sqlx::query(sql::ours(update)).bind(text(&new)).bind(row.get::<i64, _>(0));
                db.done(query).await?;
                updated.modified += 1;
            }
        }
        if rows.is_empty() && input.upsert {
            let mut document = Object::new();
            for (field, value) in filter::equalities(&input.filter) {
                json::set(&mut document, field, value.clone());
            }
            let document = changed(document, &input)?;
            updated.upserted_id = Some(insert(&mut db, &input.collection, document).await?.id);
        }
        db.commit().await?;
        Ok(updated)
    }

    async fn delete(&self, _: Call<'_>, input: Delete) -> Result<Deleted, Error> {
        let table = table(&input.collection)?;
        let condition = Condition::of(&input.filter, "body")?;
        let limit = if input.many { "" } else { " ORDER BY seq LIMIT 1" };
        let delete = format!(
            "DELETE FROM {table} WHERE seq IN (SELECT seq FROM {table} WHERE {}{limit})",
            condition.sql
        );
        let mut db = self.store.write(Part::Plain).await?;
        let done = or_none(db.run(condition.bind(sqlx::query(sql::ours(delete)))).await)?;
        Ok(Deleted { deleted: done.map_or(0, |done| done.changed) })
    }

    async fn count(&self, _: Call<'_>, input: Count) -> Result<Counted, Error> {
        let condition = Condition::of(&input.filter, "body")?;
        let select = format!("SELECT count(*) FROM {} WHERE {}", table(&input.collection)?, condition.sql);
        let mut db = self.store.read(Part::Plain).await?;
        let done = or_none(db.run(condition.bind(sqlx::query(sql::ours(select)))).await)?;
        let count = done.and_then(|done| done.rows.first().map(|row| row.get::<i64, _>(0))).unwrap_or(0);
        Ok(Counted { count: count.unsigned_abs() })
    }

    async fn create_index(&self, _: Call<'_>, input: CreateIndex) -> Result<IndexName, Error> {
        let table = table(&input.collection)?;
        if input.keys.is_empty() {
            return Err(Error::invalid("keys", "must not be empty"));
        }
        let mut keys = Vec::with_capacity(input.keys.len());
        let mut names = Vec::with_capacity(input.keys.len());
        for Sort { field, descending } in &input.keys {
            // An expression of an index cannot have placeholders; `path` refuses what could end the text.
            let path = filter::path(field)?.replace('\'', "''");
            keys.push(format!("json_extract(body, '{path}'){}", if *descending { " DESC" } else { "" }));
            names.push(format!("{field}_{}", if *descending { -1 } else { 1 }));
        }
        let name = input.name.unwrap_or_else(|| names.join("_"));
        let unique = if input.unique { "UNIQUE " } else { "" };
        let index = sql::quoted_part(&format!("chassis:{}:{name}", input.collection), "name")?;
        let mut db = self.store.begin(Part::Plain).await?;
        make(&mut db, &table).await?;
        let create = format!("CREATE {unique}INDEX IF NOT EXISTS {index} ON {table} ({})", keys.join(", "));
        db.done(sqlx::query(sql::ours(create))).await?;
        db.commit().await?;
        Ok(IndexName { name })
    }
}

/// A search in a collection.
struct Select {
    sql: String,
    condition: Condition,
    order: Vec<Value>,
    limit: i64,
    skip: i64,
}

impl Select {
    fn of(input: &Find) -> Result<Self, Error> {
        let mut select = Self::first(&input.collection, &input.filter, input.limit.map_or(-1, i64::from))?;
        let mut order = String::new();
        for Sort { field, descending } in &input.sort {
            let direction = if *descending { "DESC" } else { "ASC" };
            order.push_str(&format!("json_extract(body, ?) {direction}, "));
            select.order.push(filter::path(field)?.into());
        }
        select.skip = i64::from(input.skip);
        select.sql = select.sql.replace("ORDER BY seq", &format!("ORDER BY {order}seq"));
        Ok(select)
    }

    fn first(collection: &str, filter: &Object, limit: i64) -> Result<Self, Error> {
        let condition = Condition::of(filter, "body")?;
        let sql = format!(
            "SELECT seq, body FROM {} WHERE {} ORDER BY seq LIMIT ? OFFSET ?",
            table(collection)?,
            condition.sql
        );
        Ok(Self { sql, condition, order: Vec::new(), limit, skip: 0 })
    }

    fn query(&self) -> Query<'_> {
        let query = self.condition.bind(sqlx::query(sql::ours(self.sql.clone())));
        crate::rows::bind_all(query, &self.order).bind(self.limit).bind(self.skip)
    }

    /// A collection that is not there has no documents.
    async fn rows(&self, db: &mut Db) -> Result<Vec<SqliteRow>, Error> {
        Ok(or_none(db.run(self.query()).await)?.map(|done| done.rows).unwrap_or_default())
    }
}

async fn insert(db: &mut Db, collection: &str, mut document: Object) -> Result<Inserted, Error> {
    let table = table(collection)?;
    let id = match document.get("_id") {
        None | Some(Value::Null) => {
            let id = Value::from(uuid::Uuid::now_v7().to_string());
            document.insert("_id".to_owned(), id.clone());
            id
        }
        Some(Value::Array(_)) => return Err(Error::invalid("document._id", "must not be an array")),
        Some(id) => id.clone(),
    };
    let insert = format!("INSERT INTO {table} (id, body) VALUES (?, ?)");
    let query = || sqlx::query(sql::ours(insert.clone())).bind(id.to_string()).bind(text(&document));
    if or_none(db.run(query()).await).map_err(|error| taken(error, &table))?.is_none() {
        make(db, &table).await?;
        db.done(query()).await.map_err(|error| taken(error, &table))?;
    }
    Ok(Inserted { id })
}

/// Inside, the `_id` stands in a column `id`.
fn taken(error: Error, table: &str) -> Error {
    let by_id = format!("{}.id", table.trim_matches('"'));
    if error.code() == Code::AlreadyExists && error.message().ends_with(&by_id) {
        return Error::new(Code::AlreadyExists, "a document with this _id is there already").field("_id");
    }
    error
}

async fn make(db: &mut Db, table: &str) -> Result<(), Error> {
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {table} (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL)"
    );
    db.done(sqlx::query(sql::ours(create))).await.map(drop)
}

fn or_none<T>(result: sqlx::Result<T>) -> Result<Option<T>, Error> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(cause) if error::is_missing_table(&cause) => Ok(None),
        Err(cause) => Err(error::from(cause)),
    }
}

fn check(input: &Update) -> Result<(), Error> {
    if input.set.is_empty() && input.unset.is_empty() && input.increment.is_empty() {
        return Err(Error::invalid("set", "one of set, unset and increment must not be empty"));
    }
    let fields = input.set.keys().chain(&input.unset).chain(input.increment.keys());
    for field in fields {
        filter::path(field)?;
        if field == "_id" {
            return Err(Error::invalid("_id", "the name of a document does not change"));
        }
    }
    Ok(())
}

fn changed(mut document: Object, input: &Update) -> Result<Object, Error> {
    for (field, value) in &input.set {
        if !json::set(&mut document, field, value.clone()) {
            return Err(Error::invalid(field, "something on the way to it is not an object"));
        }
    }
    for field in &input.unset {
        json::unset(&mut document, field);
    }
    for (field, by) in &input.increment {
        if !json::add(&mut document, field, *by) {
            return Err(Error::invalid(field, "is not a number"));
        }
    }
    Ok(document)
}

/// A collection's table.
fn table(collection: &str) -> Result<String, Error> {
    if collection.is_empty() {
        return Err(Error::invalid("collection", "must not be empty"));
    }
    sql::quoted_part(&format!("chassis_documents:{collection}"), "collection")
}

fn body(row: &SqliteRow) -> Result<Object, Error> {
    serde_json::from_str(row.get::<&str, _>("body"))
        .map_err(|error| Error::new(Code::DataLoss, "a stored document is not JSON").caused_by(&error))
}

fn text(document: &Object) -> String {
    serde_json::to_string(document).unwrap_or_default()
}
