//! JSON as SQLite's values, and back.

use crate::db::Query;
use chassis_guest::contracts::Object;
use chassis_guest::serde_json::{Number, Value};
use sqlx::sqlite::{SqliteRow, SqliteValueRef};
use sqlx::{Column, Decode, Row, Sqlite, TypeInfo, ValueRef};
use std::fmt::Write;

/// Binds a value by its JSON type. Objects and arrays are JSON text.
pub(crate) fn bind<'q>(query: Query<'q>, value: &Value) -> Query<'q> {
    match value {
        Value::Null => query.bind(None::<String>),
        Value::Bool(value) => query.bind(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => query.bind(integer),
            None => query.bind(number.as_f64()),
        },
        Value::String(text) => query.bind(text.clone()),
        Value::Array(_) | Value::Object(_) => query.bind(value.to_string()),
    }
}

/// Binds values in order.
pub(crate) fn bind_all<'q, 'v>(query: Query<'q>, values: impl IntoIterator<Item = &'v Value>) -> Query<'q> {
    values.into_iter().fold(query, bind)
}

/// A row as an object by column name.
pub(crate) fn object(row: &SqliteRow) -> Object {
    let columns = row.columns().iter();
    columns
        .map(|column| {
            let value = row.try_get_raw(column.ordinal()).map_or(Value::Null, |value| {
                let of_table = column.origin().table_column().is_some();
                json(value, column.type_info().name(), of_table)
            });
            (column.name().to_owned(), value)
        })
        .collect()
}

/// A value by its storage class, where the column's declared type does not tell more: 1 of a BOOLEAN column is true, and a text
/// that holds an object or array is that, in a column declared as JSON (of which the driver says that it knows no type).
fn json(value: SqliteValueRef<'_>, declared: &str, of_table: bool) -> Value {
    let stored = value.type_info().name().to_owned();
    match stored.as_str() {
        _ if value.is_null() => Value::Null,
        "INTEGER" if declared == "BOOLEAN" => decode::<i64>(value).map_or(Value::Null, |n| (n != 0).into()),
        "INTEGER" => decode::<i64>(value).map_or(Value::Null, Value::from),
        "REAL" => decode::<f64>(value).and_then(Number::from_f64).map_or(Value::Null, Value::Number),
        "BLOB" => decode::<Vec<u8>>(value).map_or(Value::Null, |bytes| hex(&bytes).into()),
        _ => {
            let text = decode::<String>(value).unwrap_or_default();
            if of_table && declared == "NULL" && text.starts_with(['{', '[']) {
                return chassis_guest::serde_json::from_str(&text).unwrap_or(Value::String(text));
            }
            Value::String(text)
        }
    }
}

fn decode<'r, T: Decode<'r, Sqlite>>(value: SqliteValueRef<'r>) -> Option<T> {
    T::decode(value).ok()
}

/// Bytes as Postgres writes them.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
