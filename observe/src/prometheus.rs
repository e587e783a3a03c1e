//! What Prometheus' and Alertmanager's HTTP APIs answer.

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Prometheus' HTTP API.
#[derive(Clone, Debug)]
pub struct Prometheus {
    base: String,
    client: Client,
}

/// An exemplar of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The trace it leads to.
    pub trace: String,
    /// What was measured, in the metric's unit.
    pub value: f64,
    /// The label `name` of its series: the instance.
    pub instance: String,
}

impl Prometheus {
    /// At this address.
    pub fn new(base: String) -> Self {
        Self { base, client: Client::new() }
    }

    /// The values of a query now.
    pub async fn query(&self, query: &str) -> Result<Vec<(Value, f64)>> {
        let answer = self.get("/api/v1/query", &[("query", query)]).await?;
        let series = answer["result"].as_array().cloned().unwrap_or_default();
        Ok(series
            .into_iter()
            .filter_map(|one| Some((one["metric"].clone(), number(&one["value"][1])?)))
            .collect())
    }

    /// The values of a query over the last while; what is not a number is none.
    pub async fn values(&self, query: &str, back: Duration, step: Duration) -> Result<Vec<f64>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let (start, end) = ((now - back.as_secs_f64()).to_string(), now.to_string());
        let step = step.as_secs_f64().to_string();
        let asked = [("query", query), ("start", &start), ("end", &end), ("step", &step)];
        let answer = self.get("/api/v1/query_range", &asked).await?;
        let series = answer["result"].as_array().cloned().unwrap_or_default();
        let values = series.iter().flat_map(|one| one["values"].as_array().cloned().unwrap_or_default());
        Ok(values.filter_map(|value| number(&value[1])).collect())
    }

    /// The exemplars of a query in the last minutes.
    pub async fn exemplars(&self, query: &str) -> Result<Vec<Exemplar>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let (start, end) = ((now - 120.0).to_string(), (now + 5.0).to_string());
        let asked = [("query", query), ("start", &start), ("end", &end)];
        let answer = self.get("/api/v1/query_exemplars", &asked).await?;
        let series = answer.as_array().cloned().unwrap_or_default();
        Ok(series
            .iter()
            .flat_map(|one| {
                let instance = one["seriesLabels"]["name"].as_str().unwrap_or_default().to_owned();
                let found = one["exemplars"].as_array().cloned().unwrap_or_default();
                found.into_iter().filter_map(move |exemplar| {
                    let trace = exemplar["labels"]["trace_id"].as_str()?.to_owned();
                    Some(Exemplar { trace, value: number(&exemplar["value"])?, instance: instance.clone() })
                })
            })
            .collect())
    }

    /// The targets that are up, by job.
    pub async fn jobs_up(&self) -> Result<BTreeSet<String>> {
        let up = self.query("up == 1").await?;
        Ok(up.iter().filter_map(|(labels, _)| labels["job"].as_str().map(str::to_owned)).collect())
    }

    async fn get(&self, path: &str, asked: &[(&str, &str)]) -> Result<Value> {
        let answer = self.client.get(format!("{}{path}", self.base)).query(asked).send().await?;
        let status = answer.status();
        let document: Value = answer.json().await.with_context(|| format!("{path} answers no JSON"))?;
        ensure!(status.is_success(), "Prometheus refuses {asked:?}: {}", document["error"]);
        Ok(document["data"].clone())
    }
}

/// Alertmanager's HTTP API.
#[derive(Clone, Debug)]
pub struct Alertmanager {
    base: String,
}

/// An alert that Alertmanager has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// The instance or flow that it blames.
    pub blamed: String,
    /// Whether people are told of it: nothing inhibits or silences it.
    pub told: bool,
}

impl Alertmanager {
    /// At this address.
    pub fn new(base: String) -> Self {
        Self { base }
    }

    /// The alerts that it has.
    pub async fn alerts(&self) -> Result<Vec<Alert>> {
        let answer = reqwest::get(format!("{}/api/v2/alerts", self.base)).await?;
        ensure!(answer.status().is_success(), "Alertmanager answers {}", answer.status());
        let alerts: Vec<Value> = answer.json().await?;
        let mut alerts: Vec<Alert> = alerts
            .iter()
            .map(|alert| {
                let label = |name: &str| alert["labels"][name].as_str().unwrap_or_default();
                let blamed = [label("name"), label("flow")].into_iter().find(|label| !label.is_empty());
                Alert {
                    name: label("alertname").to_owned(),
                    blamed: blamed.unwrap_or_default().to_owned(),
                    told: alert["status"]["state"] == "active",
                }
            })
            .collect();
        alerts.sort();
        Ok(alerts)
    }
}

/// A sample is text; `NaN` is none.
fn number(value: &Value) -> Option<f64> {
    value.as_str()?.parse::<f64>().ok().filter(|value| !value.is_nan())
}
