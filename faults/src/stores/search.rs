//! Elasticsearch, over plain HTTP.

use super::INDEX;
use anyhow::{Context, Result, ensure};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

const PAGE: usize = 5000;

/// The ids of all entries.
pub async fn ids(url: &str) -> Result<Vec<i64>> {
    let client = client()?;
    let url = url.trim_end_matches('/');
    let refreshed = client.post(format!("{url}/{INDEX}/_refresh")).send().await?;
    ensure!(refreshed.status().is_success(), "Elasticsearch: {}", refreshed.text().await?);
    let mut ids = Vec::new();
    let mut after = Value::Null;
    loop {
        let mut body = json!({ "size": PAGE, "_source": false, "sort": [{ "user_id": "asc" }] });
        if !after.is_null() {
            body["search_after"] = after;
        }
        let answer = client.post(format!("{url}/{INDEX}/_search")).json(&body).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        let hits = answer["hits"]["hits"].as_array().context("Elasticsearch answered no hits")?;
        for hit in hits {
            ids.push(hit["_id"].as_str().unwrap_or_default().parse()?);
        }
        if hits.len() < PAGE {
            return Ok(ids);
        }
        after = hits[hits.len() - 1]["sort"].clone();
    }
}

/// Deletes the index, if there is one.
pub async fn wipe(url: &str) -> Result<()> {
    let url = url.trim_end_matches('/');
    let deleted = client()?.delete(format!("{url}/{INDEX}")).send().await.context("Elasticsearch")?;
    let gone = deleted.status().is_success() || deleted.status() == StatusCode::NOT_FOUND;
    ensure!(gone, "Elasticsearch: {}", deleted.text().await?);
    Ok(())
}

/// A client that never waits for ever.
pub fn client() -> Result<Client> {
    Ok(Client::builder().timeout(std::time::Duration::from_secs(30)).build()?)
}
