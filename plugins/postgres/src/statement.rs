//! A caller's statement with JSON values.
//!
//! The server is asked once which types the placeholders have. Then each placeholder `$1` becomes `CAST($1::text AS its type)`, so
//! that every value goes as text and PostgreSQL itself reads it: any type there is, enums, ranges and arrays among them.

use crate::encode;
use crate::error::{self, Sent};
use crate::pool::{Db, Query};
use crate::sql;
use chassis_guest::Error;
use chassis_guest::contracts::relational::Statement;
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, Either, Row, Statement as _};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many statements are remembered; then all are forgotten.
const REMEMBERED: usize = 1000;

/// Statements that are known already.
#[derive(Default)]
pub(crate) struct Shapes(Mutex<HashMap<String, Arc<Shape>>>);

/// A statement made ready: its text, and the types of its values.
pub(crate) struct Shape {
    sql: String,
    kinds: Vec<String>,
    /// What a lost connection may have left behind.
    pub(crate) sent: Sent,
}

impl Shapes {
    /// Makes a statement ready.
    pub(crate) async fn of(&self, db: &mut Db, input: &Statement) -> Result<Arc<Shape>, Error> {
        let pieces = sql::pieces(&input.sql)?;
        let (wants, has) = (pieces.placeholders, input.params.len());
        if wants != has {
            return Err(Error::invalid(
                "params",
                format!("the statement wants {wants} values, and {has} came"),
            ));
        }
        if let Some(shape) = self.known().get(&input.sql) {
            return Ok(shape.clone());
        }
        let kinds = if wants == 0 { Vec::new() } else { kinds(db, &input.sql).await? };
        let mut text = String::with_capacity(input.sql.len() + 32 * wants);
        for (before, number) in &pieces.parts {
            text.push_str(before);
            let kind = kinds.get(number - 1).map_or("text", String::as_str);
            text.push_str(&format!("CAST(${number}::text AS {kind})"));
        }
        text.push_str(pieces.rest);
        let shape = Arc::new(Shape {
            sql: text,
            kinds,
            sent: if pieces.reads { Sent::Harmless } else { Sent::Write },
        });
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(input.sql.clone(), shape.clone());
        Ok(shape)
    }

    /// Forgets a statement that failed: a table may have other columns by now.
    pub(crate) fn forget(&self, sql: &str) {
        self.known().remove(sql);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Shape>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shape {
    /// The statement with its values.
    pub(crate) fn query<'q>(&self, input: &Statement) -> Query<'q> {
        let query = sqlx::query(AssertSqlSafe(self.sql.clone()));
        input
            .params
            .iter()
            .zip(&self.kinds)
            .fold(query, |query, (value, kind)| query.bind(encode::text(value, kind)))
    }
}

/// The types of a statement's placeholders, as SQL writes them.
async fn kinds(db: &mut Db, sql: &str) -> Result<Vec<String>, Error> {
    let prepared = db.prepare(sql).await.map_err(|cause| error::from(cause, Sent::Harmless))?;
    let oids: Vec<Oid> = match prepared.parameters() {
        Some(Either::Left(kinds)) => kinds.iter().map(|kind| kind.oid().unwrap_or(Oid(25))).collect(),
        _ => Vec::new(),
    };
    // With the modifier -1 and not without: `character` alone would be one letter.
    let select =
        "SELECT format_type(oid, -1) FROM unnest($1::oid[]) WITH ORDINALITY AS t(oid, at) ORDER BY at";
    let done = db.done(sqlx::query(select).bind(oids), Sent::Harmless).await?;
    Ok(done.rows.iter().map(|row| row.try_get(0).unwrap_or_else(|_| "text".to_owned())).collect())
}
