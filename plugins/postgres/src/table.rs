//! Tables and the types of their columns, looked up once.

use crate::encode;
use crate::error::Sent;
use crate::pool::{Db, Query};
use crate::sql;
use chassis_guest::contracts::Object;
use chassis_guest::contracts::relational::{ByKey, Update};
use chassis_guest::serde_json::Value;
use chassis_guest::{Code, Error};
use sqlx::{AssertSqlSafe, Row};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What items of a batch must have in common to go in one statement: the table, more that matters, the columns.
pub(crate) type Key = (String, Vec<String>, Vec<String>);

/// The tables that are known already.
#[derive(Default)]
pub(crate) struct Tables(Mutex<HashMap<String, Arc<Table>>>);

/// A table.
pub(crate) struct Table {
    /// Its name, quoted.
    pub(crate) name: String,
    /// The types of its columns, as SQL writes them.
    kinds: HashMap<String, String>,
}

impl Tables {
    /// A table by its name. It is looked up again when it is not known to have the columns.
    pub(crate) async fn of(
        &self,
        db: &mut Db,
        name: &str,
        mut columns: impl Iterator<Item = &String>,
    ) -> Result<Arc<Table>, Error> {
        let known = self.known().get(name).cloned();
        if let Some(table) = known
            && columns.all(|column| table.kinds.contains_key(column))
        {
            return Ok(table);
        }
        let quoted = sql::table(name)?;
        let select = "SELECT attname::text, format_type(atttypid, -1) FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
        let rows = db.done(sqlx::query(select).bind(quoted.clone()), Sent::Harmless).await?.rows;
        if rows.is_empty() {
            let message = format!("relation \"{name}\" does not exist");
            return Err(Error::new(Code::NotFound, message).status("42P01").field("table"));
        }
        let kinds = rows.iter().filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?)));
        let table = Arc::new(Table { name: quoted, kinds: kinds.collect() });
        self.known().insert(name.to_owned(), table.clone());
        Ok(table)
    }

    /// Forgets all tables: they may have changed.
    pub(crate) fn forget(&self) {
        self.known().clear();
    }

    /// Passes a result on. A failure may mean that the table has changed.
    pub(crate) fn checked<T>(&self, name: &str, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.known().remove(name);
        }
        result
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Table>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// A column's type.
    pub(crate) fn kind(&self, column: &str) -> Result<&str, Error> {
        self.kinds.get(column).map(String::as_str).ok_or_else(|| {
            let message = format!("column \"{column}\" of relation {} does not exist", self.name);
            Error::invalid(column, message).status("42703")
        })
    }

    /// Columns, quoted, with their types.
    pub(crate) fn columns<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a String>,
        field: &str,
    ) -> Result<Vec<(String, &'a str)>, Error> {
        let columns: Vec<_> = names
            .into_iter()
            .map(|name| Ok((sql::quoted(name, field)?, self.kind(name)?)))
            .collect::<Result<_, Error>>()?;
        if columns.is_empty() { Err(Error::invalid(field, "must not be empty")) } else { Ok(columns) }
    }

    pub(crate) fn update<'q>(&self, input: &Update) -> Result<Query<'q>, Error> {
        let columns = self.columns(input.values.keys(), "values")?;
        let set: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(at, (column, kind))| format!("{column} = CAST(${}::text AS {kind})", at + 1))
            .collect();
        let matches = self.matches(&input.key, columns.len())?;
        let text = format!("UPDATE {} SET {} WHERE {matches}", self.name, set.join(", "));
        let query = self.bind(sqlx::query(AssertSqlSafe(text)), &input.values, true);
        Ok(self.bind(query, &input.key, false))
    }

    pub(crate) fn delete<'q>(&self, input: &ByKey) -> Result<Query<'q>, Error> {
        let text = format!("DELETE FROM {} WHERE {}", self.name, self.matches(&input.key, 0)?);
        Ok(self.bind(sqlx::query(AssertSqlSafe(text)), &input.key, false))
    }

    /// The test for a key. Null is tested for by itself, so that an index is used for the rest.
    fn matches(&self, key: &Object, after: usize) -> Result<String, Error> {
        let columns = self.columns(key.keys(), "key")?;
        let mut at = after;
        let tests = columns.iter().zip(key.values()).map(|((column, kind), value)| {
            if value.is_null() {
                return format!("{column} IS NULL");
            }
            at += 1;
            format!("{column} = CAST(${at}::text AS {kind})")
        });
        Ok(tests.collect::<Vec<_>>().join(" AND "))
    }

    fn bind<'q>(&self, query: Query<'q>, values: &Object, nulls: bool) -> Query<'q> {
        let bound = values.iter().filter(|(_, value)| nulls || !value.is_null());
        bound.fold(query, |query, (column, value)| query.bind(self.text(column, value)))
    }

    /// A value as text of its column's type.
    pub(crate) fn text(&self, column: &str, value: &Value) -> Option<String> {
        encode::text(value, self.kinds.get(column).map_or("text", String::as_str))
    }
}
