//! What is written: indices, documents and their texts.

use crate::db::Db;
use crate::sql;
use chassis_guest::contracts::Object;
use chassis_guest::contracts::search::{FieldKind, Index, Indexed};
use chassis_guest::serde_json::{self, Value};
use chassis_guest::{Code, Error};
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;

/// The texts of a document have the rows from `seq * TEXTS` on.
pub(super) const TEXTS: i64 = 1024;

/// The full-text table of an index, quoted.
pub(super) fn texts(index: &str) -> Result<String, Error> {
    name("chassis_search", index)
}

/// The table of an index's words, quoted.
pub(super) fn terms(index: &str) -> Result<String, Error> {
    name("chassis_terms", index)
}

/// An index's fields, if it is there.
pub(super) async fn fields(db: &mut Db, index: &str) -> Result<Option<BTreeMap<String, FieldKind>>, Error> {
    let select = "SELECT fields FROM chassis_search_indices WHERE name = ?";
    let row = db.first(sqlx::query(select).bind(index)).await?;
    Ok(row.map(|row| serde_json::from_str(row.get(0)).unwrap_or_default()))
}

pub(super) async fn create(
    db: &mut Db,
    index: &str,
    fields: &BTreeMap<String, FieldKind>,
) -> Result<bool, Error> {
    let (texts, terms) = (texts(index)?, terms(index)?);
    let insert = "INSERT INTO chassis_search_indices (name, fields) VALUES (?, ?) ON CONFLICT DO NOTHING";
    let json = serde_json::to_string(fields).unwrap_or_default();
    if db.done(sqlx::query(insert).bind(index).bind(json)).await?.changed == 0 {
        return Ok(false);
    }
    let tables = [
        format!("CREATE VIRTUAL TABLE {texts} USING fts5(text, field UNINDEXED, tokenize = 'unicode61')"),
        format!("CREATE VIRTUAL TABLE {terms} USING fts5vocab({texts}, 'row')"),
    ];
    for table in tables {
        db.done(sqlx::query(sql::ours(table))).await?;
    }
    Ok(true)
}

pub(super) async fn drop(db: &mut Db, index: &str) -> Result<bool, Error> {
    let delete = "DELETE FROM chassis_search_indices WHERE name = ?";
    if db.done(sqlx::query(delete).bind(index)).await?.changed == 0 {
        return Ok(false);
    }
    db.done(sqlx::query("DELETE FROM chassis_search_documents WHERE name = ?").bind(index)).await?;
    for table in [terms(index)?, texts(index)?] {
        db.done(sqlx::query(sql::ours(format!("DROP TABLE {table}")))).await?;
    }
    Ok(true)
}

pub(super) async fn write(db: &mut Db, input: &Index) -> Result<Indexed, Error> {
    if input.id.is_empty() {
        return Err(Error::invalid("id", "must not be empty"));
    }
    let fields = match fields(db, &input.index).await? {
        Some(fields) => fields,
        None => {
            create(db, &input.index, &BTreeMap::new()).await?;
            BTreeMap::new()
        }
    };
    check(&input.document, &fields)?;
    let replaced = find(db, &input.index, &input.id).await?;
    let body = serde_json::to_string(&input.document).unwrap_or_default();
    if let Some(seq) = replaced.filter(|_| input.if_absent) {
        // The same document: who asks again is not told that he failed.
        if body_of(db, seq).await? == Some(Value::Object(input.document.clone())) {
            return Ok(Indexed { id: input.id.clone(), created: false });
        }
        let message = format!("a document with the id `{}` is there already", input.id);
        return Err(Error::new(Code::AlreadyExists, message).field("id"));
    }
    if let Some(seq) = replaced {
        forget(db, &input.index, seq).await?;
    }
    let upsert = "INSERT INTO chassis_search_documents (name, id, body) VALUES (?, ?, ?)
        ON CONFLICT (name, id) DO UPDATE SET body = excluded.body RETURNING seq";
    let row = db.first(sqlx::query(upsert).bind(&input.index).bind(&input.id).bind(body)).await?;
    let seq: i64 = row.map_or(0, |row| row.get(0));
    let mut found = Vec::new();
    collect("", &Value::Object(input.document.clone()), &fields, &mut found);
    let insert = format!("INSERT INTO {} (rowid, text, field) VALUES (?, ?, ?)", texts(&input.index)?);
    for (at, (field, text)) in (seq * TEXTS..(seq + 1) * TEXTS).zip(found) {
        db.done(sqlx::query(AssertSqlSafe(insert.clone())).bind(at).bind(text).bind(field)).await?;
    }
    Ok(Indexed { id: input.id.clone(), created: replaced.is_none() })
}

pub(super) async fn delete(db: &mut Db, index: &str, id: &str) -> Result<bool, Error> {
    let Some(seq) = find(db, index, id).await? else { return Ok(false) };
    forget(db, index, seq).await?;
    db.done(sqlx::query("DELETE FROM chassis_search_documents WHERE seq = ?").bind(seq)).await?;
    Ok(true)
}

async fn find(db: &mut Db, index: &str, id: &str) -> Result<Option<i64>, Error> {
    let select = "SELECT seq FROM chassis_search_documents WHERE name = ? AND id = ?";
    Ok(db.first(sqlx::query(select).bind(index).bind(id)).await?.map(|row| row.get(0)))
}

async fn body_of(db: &mut Db, seq: i64) -> Result<Option<Value>, Error> {
    let select = "SELECT body FROM chassis_search_documents WHERE seq = ?";
    let row = db.first(sqlx::query(select).bind(seq)).await?;
    Ok(row.and_then(|row| serde_json::from_str(row.get::<&str, _>(0)).ok()))
}

async fn forget(db: &mut Db, index: &str, seq: i64) -> Result<(), Error> {
    let delete = format!("DELETE FROM {} WHERE rowid >= ? AND rowid < ?", texts(index)?);
    db.done(sqlx::query(sql::ours(delete)).bind(seq * TEXTS).bind((seq + 1) * TEXTS))
        .await
        .map(std::mem::drop)
}

/// The texts of a document by field; those of a list under the list's name. Fields that are not text are only filtered by.
fn collect(at: &str, value: &Value, fields: &BTreeMap<String, FieldKind>, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) if matches!(fields.get(at), None | Some(FieldKind::Text)) => {
            found.push((at.to_owned(), text.clone()));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(at, item, fields, found)),
        Value::Object(members) => {
            for (name, value) in members {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                collect(&at, value, fields, found);
            }
        }
        _ => {}
    }
}

/// A value that does not fit its field's kind is refused, as a search server does.
fn check(document: &Object, fields: &BTreeMap<String, FieldKind>) -> Result<(), Error> {
    for (field, kind) in fields {
        let Some(value) = crate::json::get(document, field) else { continue };
        let fits = |value: &Value| match kind {
            _ if value.is_null() => true,
            FieldKind::Text | FieldKind::Keyword => !value.is_object(),
            FieldKind::Integer => value.is_i64() || value.is_u64(),
            FieldKind::Number => value.is_number(),
            FieldKind::Boolean => value.is_boolean(),
            FieldKind::Date => {
                value.as_str().is_some_and(|text| text.as_bytes().first().is_some_and(u8::is_ascii_digit))
            }
        };
        let good = value.as_array().map_or_else(|| fits(value), |items| items.iter().all(fits));
        if !good {
            let message = format!("`{value}` does not fit the field `{field}`");
            return Err(Error::invalid(format!("document.{field}"), message));
        }
    }
    Ok(())
}

fn name(kind: &str, index: &str) -> Result<String, Error> {
    if index.is_empty() {
        return Err(Error::invalid("index", "must not be empty"));
    }
    sql::quoted_part(&format!("{kind}:{index}"), "index")
}
