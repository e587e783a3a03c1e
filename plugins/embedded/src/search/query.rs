//! What is found: words joined by OR, ranked by BM25; a word that is only nearly right counts for less.

use super::index::{TEXTS, terms, texts};
use super::{document, known};
use crate::db::Db;
use crate::filter::Condition;
use crate::rows;
use crate::terms::{allowed, near, words};
use chassis_guest::Error;
use chassis_guest::contracts::search::{Fuzziness, Hit, Hits, Query};
use chassis_guest::serde_json::{self, Value};
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;

pub(super) async fn run(db: &mut Db, input: &Query) -> Result<Hits, Error> {
    known(db, &input.index).await?;
    let condition = Condition::of(&input.filter, "d.body")?;
    let (score, scored, mut values) = match &input.text {
        None => ("1.0", String::new(), Vec::new()),
        Some(text) => {
            let (sql, values) = scored(db, input, text).await?;
            ("s.score", format!("JOIN ({sql}) AS s ON s.seq = d.seq"), values)
        }
    };
    values.push(input.index.as_str().into());
    values.extend(condition.values);
    let select = format!(
        "SELECT d.id, d.body, {score} AS score, count(*) OVER () AS total
         FROM chassis_search_documents AS d {scored}
         WHERE d.name = ? AND {} ORDER BY score DESC, d.seq LIMIT ? OFFSET ?",
        condition.sql
    );
    let page = [Value::from(input.size), Value::from(input.from)];
    let hits = db
        .done(rows::bind_all(sqlx::query(AssertSqlSafe(select.clone())), values.iter().chain(&page)))
        .await?
        .rows;
    let total = match hits.first() {
        Some(row) => row.get::<i64, _>("total"),
        // An empty page does not tell how many there are.
        None => {
            let first = [Value::from(1), Value::from(0)];
            let query = rows::bind_all(sqlx::query(AssertSqlSafe(select)), values.iter().chain(&first));
            db.first(query).await?.map_or(0, |row| row.get("total"))
        }
    };
    let hits = hits.iter().map(|row| {
        Ok(Hit { id: row.get("id"), score: row.get("score"), document: document(row.get("body"))? })
    });
    Ok(Hits { total: total.unsigned_abs(), hits: hits.collect::<Result<_, Error>>()? })
}

/// Documents with their scores. The words of each distance are looked up by themselves, so that they can be weighed.
async fn scored(db: &mut Db, input: &Query, text: &str) -> Result<(String, Vec<Value>), Error> {
    let table = texts(&input.index)?;
    let mut by_distance: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for word in words(text) {
        if input.fuzziness == Fuzziness::Auto {
            for (distance, term) in nearly(db, &input.index, &word).await? {
                by_distance.entry(distance).or_default().push(term);
            }
        }
        by_distance.entry(0).or_default().push(word);
    }
    let only = if input.fields.is_empty() { "" } else { "AND field IN (SELECT value FROM json_each(?))" };
    let mut parts = Vec::new();
    let mut values = Vec::new();
    for (distance, words) in &by_distance {
        let weight = 1.0 / (1 + distance) as f64;
        // A word of the index holds letters and digits only: it cannot end the quotes.
        let matches = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" OR ");
        // FTS5's rank is smaller for what fits better, and nearly 0 for a word that most texts have.
        parts.push(format!(
            "SELECT rowid / {TEXTS} AS seq, max(-rank, 0.000001) * {weight:?} AS score
             FROM {table} WHERE {table} MATCH ? {only}"
        ));
        values.push(matches.into());
        if !input.fields.is_empty() {
            values.push(serde_json::to_string(&input.fields).unwrap_or_default().into());
        }
    }
    if parts.is_empty() {
        return Ok(("SELECT 0 AS seq, 0.0 AS score WHERE 0".to_owned(), Vec::new()));
    }
    Ok((format!("SELECT seq, sum(score) AS score FROM ({}) GROUP BY seq", parts.join(" UNION ALL ")), values))
}

async fn nearly(db: &mut Db, index: &str, word: &str) -> Result<Vec<(usize, String)>, Error> {
    let (length, most) = (word.chars().count(), allowed(word));
    if most == 0 {
        return Ok(Vec::new());
    }
    let select = format!("SELECT term FROM {} WHERE length(term) BETWEEN ? AND ?", terms(index)?);
    let bounds = [length.saturating_sub(most), length + most];
    let query = bounds.iter().fold(sqlx::query(AssertSqlSafe(select)), |query, bound| {
        query.bind(i64::try_from(*bound).unwrap_or(i64::MAX))
    });
    let rows = db.done(query).await?.rows;
    Ok(near(word, rows.iter().map(|row| row.get::<&str, _>(0))))
}
