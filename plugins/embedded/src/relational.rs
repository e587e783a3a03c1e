//! `relational`: the caller's own tables.

use crate::db::{Db, Query};
use crate::driver::Embedded;
use crate::ops::Part;
use crate::{error, rows, sql};
use chassis_guest::contracts::relational::{
    Affected, ByKey, Insert, Migrate, Migrated, Migration, Relational, Row, Rows, Statement, StatementResult,
    Transaction, TransactionOutput, Update, Upsert,
};
use chassis_guest::contracts::{Batch, BatchOutput, Object};
use chassis_guest::{Call, Code, Error, Items};
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Either, Row as _};

/// What was applied. The text itself is kept: nothing tells better what has changed.
pub(crate) const TABLES: &[&str] = &["CREATE TABLE IF NOT EXISTS chassis_migrations (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, sql TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))"];

impl Relational for Embedded {
    async fn query(&self, _: Call<'_>, input: Statement) -> Result<Rows, Error> {
        let shape = sql::check(&input.sql, &input.params)?;
        let mut db = if shape.writes {
            self.store.write(Part::Plain).await?
        } else {
            self.store.read(Part::Plain).await?
        };
        let done = db.run(statement(&input)).await.map_err(|e| error::of_statement(e, &input.sql))?;
        Ok(Rows { rows: done.rows.iter().map(rows::object).collect() })
    }

    async fn query_stream(
        &self,
        _: Call<'_>,
        input: Statement,
        mut items: Items<Object>,
    ) -> Result<(), Error> {
        if sql::check(&input.sql, &input.params)?.writes {
            return Err(Error::invalid("sql", "a stream only reads"));
        }
        let mut db = self.store.stream().await?;
        let Some(mut results) = db.stream(statement(&input)) else { return Ok(()) };
        loop {
            match results.try_next().await.map_err(|e| error::of_statement(e, &input.sql))? {
                Some(Either::Right(row)) => items.send(&rows::object(&row)).await?,
                Some(Either::Left(_)) => {}
                None => return Ok(()),
            }
        }
    }

    async fn execute(&self, _: Call<'_>, input: Statement) -> Result<Affected, Error> {
        let mut db = self.store.write(Part::Plain).await?;
        Ok(Affected { rows_affected: run(&mut db, &input).await?.rows_affected })
    }

    async fn transaction(&self, _: Call<'_>, input: Transaction) -> Result<TransactionOutput, Error> {
        let mut db = self.store.begin(Part::Plain).await?;
        let mut results = Vec::with_capacity(input.statements.len());
        for (at, statement) in input.statements.iter().enumerate() {
            let result = run(&mut db, statement).await;
            results.push(result.map_err(|error| error.caused_by(&At(at)))?);
        }
        db.commit().await?;
        Ok(TransactionOutput { results })
    }

    async fn migrate(&self, _: Call<'_>, input: Migrate) -> Result<Migrated, Error> {
        let mut migrations = input.migrations;
        migrations.sort_by_key(|migration| migration.version);
        let mut applied = Vec::new();
        for migration in &migrations {
            if apply(self.store.begin(Part::Migrations).await?, migration).await? {
                applied.push(migration.version);
            }
        }
        Ok(Migrated { applied })
    }

    async fn insert(&self, _: Call<'_>, input: Insert) -> Result<Row, Error> {
        insert(&mut self.store.write(Part::Plain).await?, &input).await
    }

    async fn insert_many(&self, _: Call<'_>, input: Batch<Insert>) -> Result<BatchOutput<Row>, Error> {
        let mut db = self.store.begin(Part::Plain).await?;
        let mut results = Vec::with_capacity(input.items.len());
        // A statement that fails leaves nothing behind, and its transaction goes on.
        for item in &input.items {
            results.push(insert(&mut db, item).await);
        }
        db.commit().await?;
        Ok(results.into_iter().collect())
    }

    async fn upsert(&self, _: Call<'_>, input: Upsert) -> Result<Row, Error> {
        upsert(&mut self.store.write(Part::Plain).await?, &input).await
    }

    async fn upsert_many(&self, _: Call<'_>, input: Batch<Upsert>) -> Result<BatchOutput<Row>, Error> {
        let mut db = self.store.begin(Part::Plain).await?;
        let mut results = Vec::with_capacity(input.items.len());
        for item in &input.items {
            results.push(upsert(&mut db, item).await);
        }
        db.commit().await?;
        Ok(results.into_iter().collect())
    }

    async fn update(&self, _: Call<'_>, input: Update) -> Result<Affected, Error> {
        let (table, columns) = (sql::quoted(&input.table, "table")?, columns(&input.values, "values")?);
        let set: Vec<String> =
            columns.iter().enumerate().map(|(at, column)| format!("{column} = ${}", at + 1)).collect();
        let matches = matches(&input.key, columns.len())?;
        let text = format!("UPDATE {table} SET {} WHERE {matches}", set.join(", "));
        let query = rows::bind_all(sqlx::query(sql::ours(text)), input.values.values());
        let done = self.store.write(Part::Plain).await?.done(rows::bind_all(query, input.key.values())).await;
        Ok(Affected { rows_affected: named(done)?.changed })
    }

    async fn get(&self, _: Call<'_>, input: ByKey) -> Result<Row, Error> {
        get(&mut self.store.read(Part::Plain).await?, &input).await
    }

    async fn get_many(&self, _: Call<'_>, input: Batch<ByKey>) -> Result<BatchOutput<Row>, Error> {
        let mut db = self.store.read(Part::Plain).await?;
        let mut results = Vec::with_capacity(input.items.len());
        for item in &input.items {
            results.push(get(&mut db, item).await);
        }
        Ok(results.into_iter().collect())
    }

    async fn delete(&self, _: Call<'_>, input: ByKey) -> Result<Affected, Error> {
        delete(&mut self.store.write(Part::Plain).await?, &input).await
    }

    async fn delete_many(&self, _: Call<'_>, input: Batch<ByKey>) -> Result<BatchOutput<Affected>, Error> {
        let mut db = self.store.begin(Part::Plain).await?;
        let mut results = Vec::with_capacity(input.items.len());
        for item in &input.items {
            results.push(delete(&mut db, item).await);
        }
        db.commit().await?;
        Ok(results.into_iter().collect())
    }
}

fn statement(input: &Statement) -> Query<'_> {
    rows::bind_all(sqlx::query(AssertSqlSafe(input.sql.as_str())), &input.params)
}

async fn run(db: &mut Db, input: &Statement) -> Result<StatementResult, Error> {
    let shape = sql::check(&input.sql, &input.params)?;
    let done = db.run(statement(input)).await.map_err(|e| error::of_statement(e, &input.sql))?;
    let answered = done.rows.len() as u64;
    // Of a statement that changes no rows SQLite tells the number of the one before.
    let rows_affected = if shape.counts { done.changed } else { answered };
    Ok(StatementResult { rows_affected, rows: done.rows.iter().map(rows::object).collect() })
}

/// Whether it had to be applied.
async fn apply(mut db: Db, migration: &Migration) -> Result<bool, Error> {
    let (version, name) = (migration.version, &migration.name);
    sql::check_script(&migration.sql)?;
    let known = "SELECT sql FROM chassis_migrations WHERE version = ?";
    if let Some(row) = db.first(sqlx::query(known).bind(version)).await? {
        if row.get::<String, _>(0) != migration.sql {
            let message = format!("migration {version} ({name}) was changed after it was applied");
            return Err(Error::new(Code::FailedPrecondition, message).field("migrations"));
        }
        return Ok(false);
    }
    let script = sqlx::query(AssertSqlSafe(migration.sql.as_str())).persistent(false);
    db.run(script).await.map_err(|error| {
        error::of_statement(error, &migration.sql).caused_by(&Failed(version, name.clone()))
    })?;
    let insert = "INSERT INTO chassis_migrations (version, name, sql) VALUES (?, ?, ?)";
    db.done(sqlx::query(insert).bind(version).bind(name).bind(&migration.sql)).await?;
    db.commit().await?;
    Ok(true)
}

async fn insert(db: &mut Db, input: &Insert) -> Result<Row, Error> {
    let table = sql::quoted(&input.table, "table")?;
    let text = if input.values.is_empty() {
        format!("INSERT INTO {table} DEFAULT VALUES RETURNING *")
    } else {
        let columns = columns(&input.values, "values")?;
        format!("INSERT INTO {table} ({}) VALUES ({}) RETURNING *", columns.join(", "), marks(columns.len()))
    };
    written(db, rows::bind_all(sqlx::query(sql::ours(text)), input.values.values())).await
}

async fn upsert(db: &mut Db, input: &Upsert) -> Result<Row, Error> {
    let table = sql::quoted(&input.table, "table")?;
    let columns = columns(&input.values, "values")?;
    let mut key = Vec::with_capacity(input.key.len());
    for column in &input.key {
        if !input.values.contains_key(column) {
            return Err(Error::invalid("key", format!("`{column}` has no value")));
        }
        key.push(sql::quoted(column, "key")?);
    }
    if key.is_empty() {
        return Err(Error::invalid("key", "must not be empty"));
    }
    let mut set: Vec<String> =
        columns.iter().filter(|c| !key.contains(c)).map(|c| format!("{c} = excluded.{c}")).collect();
    if set.is_empty() {
        // Something must be set, or the row that is there is not answered.
        set.push(format!("{0} = excluded.{0}", key[0]));
    }
    let text = format!(
        "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {} RETURNING *",
        columns.join(", "),
        marks(columns.len()),
        key.join(", "),
        set.join(", ")
    );
    written(db, rows::bind_all(sqlx::query(sql::ours(text)), input.values.values())).await
}

async fn get(db: &mut Db, input: &ByKey) -> Result<Row, Error> {
    let text = format!(
        "SELECT * FROM {} WHERE {} LIMIT 1",
        sql::quoted(&input.table, "table")?,
        matches(&input.key, 0)?
    );
    written(db, rows::bind_all(sqlx::query(sql::ours(text)), input.key.values())).await
}

async fn delete(db: &mut Db, input: &ByKey) -> Result<Affected, Error> {
    let text =
        format!("DELETE FROM {} WHERE {}", sql::quoted(&input.table, "table")?, matches(&input.key, 0)?);
    let done = db.done(rows::bind_all(sqlx::query(sql::ours(text)), input.key.values())).await;
    Ok(Affected { rows_affected: named(done)?.changed })
}

async fn written(db: &mut Db, query: Query<'_>) -> Result<Row, Error> {
    let row = named(db.first(query).await)?;
    Ok(Row { row: row.as_ref().map(rows::object) })
}

/// The caller wrote names, no SQL: what is wrong with the statement is wrong with them.
fn named<T>(result: Result<T, Error>) -> Result<T, Error> {
    result.map_err(|error| {
        let unknown = ["has no column named ", "no such column: "];
        let column =
            unknown.iter().find_map(|said| error.message().split_once(said)).map(|(_, name)| name.to_owned());
        match column {
            Some(column) => Error::invalid(column, error.message().to_owned()),
            None if error.code() == Code::InvalidArgument && error.message().contains("ON CONFLICT") => {
                error.field("key")
            }
            None if error.code() == Code::NotFound => error.field("table"),
            None => error,
        }
    })
}

fn columns(values: &Object, field: &str) -> Result<Vec<String>, Error> {
    if values.is_empty() {
        return Err(Error::invalid(field, "must not be empty"));
    }
    values.keys().map(|name| column(name, field)).collect()
}

fn column(name: &str, field: &str) -> Result<String, Error> {
    if name.contains('.') {
        return Err(Error::invalid(field, format!("`{name}` is not a name of a column")));
    }
    sql::quoted(name, field)
}

/// `IS` and not `=`: a key may be null.
fn matches(key: &Object, after: usize) -> Result<String, Error> {
    let columns = columns(key, "key")?;
    let tests = columns.iter().enumerate().map(|(at, column)| format!("{column} IS ${}", after + at + 1));
    Ok(tests.collect::<Vec<_>>().join(" AND "))
}

fn marks(count: usize) -> String {
    (1..=count).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ")
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

/// Which migration failed.
#[derive(Debug)]
struct Failed(i64, String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "migration {} ({}) failed; nothing of it was kept", self.0, self.1)
    }
}

impl std::error::Error for Failed {}
