//! Many items in one statement, by `unnest`: each column of all items is one array of texts, cast to the column's type.

use crate::decode;
use crate::error::{self, Sent};
use crate::pool::{Db, Pool, Query};
use crate::sql;
use crate::table::{Key, Table, Tables};
use chassis_guest::contracts::relational::{Affected, ByKey, Insert, Row, Upsert};
use chassis_guest::contracts::{BatchOutput, Object};
use chassis_guest::serde_json::Value;
use chassis_guest::{Code, Error};
use sqlx::{AssertSqlSafe, Row as _};
use std::future::Future;
use std::sync::Arc;

/// What a statement for many items failed with, and whether one of them may be at fault.
pub(crate) struct Failure {
    error: Error,
    of_an_item: bool,
}

/// An operation on many items.
pub(crate) trait Many {
    /// The input of the single operation.
    type Item: Sync;
    /// Its output.
    type Output: Send;

    /// What items must have in common to go in one statement.
    fn alike(item: &Self::Item) -> Key;

    /// Runs items that are alike in one statement: all of them or none. Answers one output for each.
    fn run(
        tables: &Tables,
        db: &mut Db,
        items: &[&Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Output>, Failure>> + Send;
}

pub(crate) struct Inserts;
pub(crate) struct Upserts;
pub(crate) struct Gets;
pub(crate) struct Deletes;

impl Many for Inserts {
    type Item = Insert;
    type Output = Row;

    fn alike(item: &Insert) -> Key {
        (item.table.clone(), Vec::new(), names(&item.values))
    }

    async fn run(tables: &Tables, db: &mut Db, items: &[&Insert]) -> Result<Vec<Row>, Failure> {
        insert(tables, db, items).await
    }
}

impl Many for Upserts {
    type Item = Upsert;
    type Output = Row;

    fn alike(item: &Upsert) -> Key {
        (item.table.clone(), item.key.clone(), names(&item.values))
    }

    async fn run(tables: &Tables, db: &mut Db, items: &[&Upsert]) -> Result<Vec<Row>, Failure> {
        upsert(tables, db, items).await
    }
}

impl Many for Gets {
    type Item = ByKey;
    type Output = Row;

    fn alike(item: &ByKey) -> Key {
        by_key(item)
    }

    async fn run(tables: &Tables, db: &mut Db, items: &[&ByKey]) -> Result<Vec<Row>, Failure> {
        get(tables, db, items).await
    }
}

impl Many for Deletes {
    type Item = ByKey;
    type Output = Affected;

    fn alike(item: &ByKey) -> Key {
        by_key(item)
    }

    async fn run(tables: &Tables, db: &mut Db, items: &[&ByKey]) -> Result<Vec<Affected>, Failure> {
        delete(tables, db, items).await
    }
}

/// Runs one item.
pub(crate) async fn one<M: Many>(
    pool: &Arc<Pool>,
    tables: &Tables,
    item: &M::Item,
) -> Result<M::Output, Error> {
    let mut db = pool.acquire().await?;
    let outputs = M::run(tables, &mut db, &[item]).await?;
    outputs.into_iter().next().ok_or_else(|| Error::internal("the server answered nothing"))
}

/// Runs items, those that are alike in one statement. When one of them is at fault, halves are tried until it stands alone: a
/// statement that failed has done nothing.
pub(crate) async fn many<M: Many>(
    pool: &Arc<Pool>,
    tables: &Tables,
    items: &[M::Item],
) -> Result<BatchOutput<M::Output>, Error> {
    let mut groups: Vec<(Key, Vec<usize>)> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let key = M::alike(item);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(at),
            None => groups.push((key, vec![at])),
        }
    }
    let mut results: Vec<Option<Result<M::Output, Error>>> = items.iter().map(|_| None).collect();
    let mut todo: Vec<Vec<usize>> = groups.into_iter().map(|(_, group)| group).rev().collect();
    let mut db = pool.acquire().await?;
    while let Some(group) = todo.pop() {
        let chosen: Vec<&M::Item> = group.iter().map(|at| &items[*at]).collect();
        match M::run(tables, &mut db, &chosen).await {
            Ok(outputs) => {
                for (at, output) in group.into_iter().zip(outputs) {
                    results[at] = Some(Ok(output));
                }
            }
            Err(failure) if failure.of_an_item && group.len() > 1 => {
                let (first, second) = group.split_at(group.len() / 2);
                todo.extend([second.to_vec(), first.to_vec()]);
            }
            Err(Failure { error, .. }) => {
                for at in group {
                    results[at] = Some(Err(error.clone()));
                }
                if error.code() == Code::Unavailable {
                    // The connection is gone; the rest may be luckier with another.
                    match pool.acquire().await {
                        Ok(another) => db = another,
                        Err(error) => {
                            todo.drain(..).flatten().for_each(|at| results[at] = Some(Err(error.clone())));
                        }
                    }
                }
            }
        }
    }
    let missing = || Err(Error::internal("the server answered too few rows"));
    Ok(results.into_iter().map(|result| result.unwrap_or_else(missing)).collect())
}

async fn insert(tables: &Tables, db: &mut Db, items: &[&Insert]) -> Result<Vec<Row>, Failure> {
    let name = &items[0].table;
    let table = tables.of(db, name, items[0].values.keys()).await?;
    let values: Vec<&Object> = items.iter().map(|item| &item.values).collect();
    let (into, query) = if values[0].is_empty() {
        // No column, no array to unnest.
        (String::new(), None)
    } else {
        into(&table, &values)?
    };
    let text = match query {
        None if items.len() == 1 => format!("INSERT INTO {} DEFAULT VALUES RETURNING *", table.name),
        None => {
            return Err(Failure { error: Error::invalid("values", "must not be empty"), of_an_item: true });
        }
        Some(_) => format!("{into} RETURNING *"),
    };
    written(tables, db, name, bind(&table, text, &values)).await
}

async fn upsert(tables: &Tables, db: &mut Db, items: &[&Upsert]) -> Result<Vec<Row>, Failure> {
    let first = items[0];
    let table = tables.of(db, &first.table, first.values.keys()).await?;
    let mut key = Vec::with_capacity(first.key.len());
    for column in &first.key {
        if !first.values.contains_key(column) {
            return Err(Error::invalid("key", format!("`{column}` has no value")).into());
        }
        key.push(sql::quoted(column, "key")?);
    }
    if key.is_empty() {
        return Err(Error::invalid("key", "must not be empty").into());
    }
    let values: Vec<&Object> = items.iter().map(|item| &item.values).collect();
    let (into, columns) = into(&table, &values)?;
    let mut set: Vec<String> = columns
        .into_iter()
        .flatten()
        .filter(|column| !key.contains(column))
        .map(|column| format!("{column} = EXCLUDED.{column}"))
        .collect();
    if set.is_empty() {
        // Something must be set, or the row that is there is not answered.
        set.push(format!("{0} = EXCLUDED.{0}", key[0]));
    }
    let text =
        format!("{into} ON CONFLICT ({}) DO UPDATE SET {} RETURNING *", key.join(", "), set.join(", "));
    written(tables, db, &first.table, bind(&table, text, &values)).await
}

async fn get(tables: &Tables, db: &mut Db, items: &[&ByKey]) -> Result<Vec<Row>, Failure> {
    let table = tables.of(db, &items[0].table, items[0].key.keys()).await?;
    let (from, tests, keys) = keys(&table, items)?;
    let text = format!(
        "SELECT u.ord, r.* FROM {from} CROSS JOIN LATERAL (SELECT * FROM {} AS t WHERE {tests} LIMIT 1) AS r",
        table.name
    );
    let done = db.run(bind(&table, text, &keys)).await;
    let done = tables.checked(&items[0].table, done.map_err(|cause| error::from(cause, Sent::Harmless)))?;
    let mut found: Vec<Row> = items.iter().map(|_| Row { row: None }).collect();
    for row in &done.rows {
        if let Some(at) = position(row, 0)
            && let Some(found) = found.get_mut(at)
        {
            found.row = Some(decode::object(row, 1));
        }
    }
    Ok(found)
}

async fn delete(tables: &Tables, db: &mut Db, items: &[&ByKey]) -> Result<Vec<Affected>, Failure> {
    let table = tables.of(db, &items[0].table, items[0].key.keys()).await?;
    let (from, tests, keys) = keys(&table, items)?;
    let text = format!(
        "WITH gone AS (DELETE FROM {} AS t USING {from} WHERE {tests} RETURNING u.ord)
         SELECT ord, count(*) FROM gone GROUP BY ord",
        table.name
    );
    let done = failed(tables, &items[0].table, db.run(bind(&table, text, &keys)).await)?;
    let mut affected: Vec<Affected> = items.iter().map(|_| Affected { rows_affected: 0 }).collect();
    for row in &done.rows {
        if let Some(at) = position(row, 0)
            && let Some(affected) = affected.get_mut(at)
        {
            affected.rows_affected = row.try_get::<i64, _>(1).unwrap_or_default().unsigned_abs();
        }
    }
    Ok(affected)
}

/// `INSERT INTO … SELECT … FROM unnest(…)`, in the items' order, and the columns.
fn into(table: &Table, values: &[&Object]) -> Result<(String, Option<Vec<String>>), Error> {
    let columns = table.columns(values[0].keys(), "values")?;
    let count = columns.len();
    let (names, casts): (Vec<_>, Vec<_>) = columns
        .into_iter()
        .enumerate()
        .map(|(at, (column, kind))| (column, format!("CAST(u.c{} AS {kind})", at + 1)))
        .unzip();
    let text = format!(
        "INSERT INTO {} ({}) SELECT {} FROM {} ORDER BY u.ord",
        table.name,
        names.join(", "),
        casts.join(", "),
        unnest(count)
    );
    Ok((text, Some(names)))
}

/// The arrays to match by, the test, and the keys. Items in a group are null in the same columns.
fn keys<'a>(table: &Table, items: &[&'a ByKey]) -> Result<(String, String, Vec<&'a Object>), Error> {
    let keys: Vec<&Object> = items.iter().map(|item| &item.key).collect();
    let columns = table.columns(keys[0].keys(), "key")?;
    let tests: Vec<String> = columns
        .iter()
        .zip(keys[0].values())
        .enumerate()
        .map(|(at, ((column, kind), value))| match value {
            Value::Null => format!("t.{column} IS NULL"),
            _ => format!("t.{column} = CAST(u.c{} AS {kind})", at + 1),
        })
        .collect();
    Ok((unnest(columns.len()), tests.join(" AND "), keys))
}

fn unnest(columns: usize) -> String {
    let list = |prefix: &str, suffix: &str| {
        (1..=columns).map(|at| format!("{prefix}{at}{suffix}")).collect::<Vec<_>>().join(", ")
    };
    format!("unnest({}) WITH ORDINALITY AS u({}, ord)", list("$", "::text[]"), list("c", ""))
}

fn bind<'q>(table: &Table, text: String, values: &[&Object]) -> Query<'q> {
    values[0].keys().fold(sqlx::query(AssertSqlSafe(text)), |query, column| {
        let texts: Vec<Option<String>> = values
            .iter()
            .map(|values| table.text(column, values.get(column).unwrap_or(&Value::Null)))
            .collect();
        query.bind(texts)
    })
}

async fn written(tables: &Tables, db: &mut Db, name: &str, query: Query<'_>) -> Result<Vec<Row>, Failure> {
    let done = failed(tables, name, db.run(query).await)?;
    Ok(done.rows.iter().map(|row| Row { row: Some(decode::object(row, 0)) }).collect())
}

fn failed<T>(tables: &Tables, name: &str, result: sqlx::Result<T>) -> Result<T, Failure> {
    let result = result.map_err(|cause| {
        let status = cause.as_database_error().and_then(|cause| cause.code()).map(|code| code.into_owned());
        let error = error::from(cause, Sent::Write);
        let of_an_item = error::is_of_an_item(&error, status.as_deref());
        Failure { error, of_an_item }
    });
    if result.is_err() {
        // The table may have changed.
        let _ = tables.checked::<()>(name, Err(Error::internal("forgotten")));
    }
    result
}

/// Items by key that can go in one statement: the same table and columns, and the same of them null.
fn by_key(item: &ByKey) -> Key {
    let nulls = item.key.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name.clone()).collect();
    (item.table.clone(), nulls, names(&item.key))
}

fn names(values: &Object) -> Vec<String> {
    values.keys().cloned().collect()
}

/// Which item a row belongs to.
fn position(row: &sqlx::postgres::PgRow, column: usize) -> Option<usize> {
    let ordinal: i64 = row.try_get(column).ok()?;
    usize::try_from(ordinal.checked_sub(1)?).ok()
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, of_an_item: false }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}
