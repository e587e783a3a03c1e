//! What Jaeger's query API answers: traces as OTLP in JSON.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Jaeger's query API.
#[derive(Clone, Debug)]
pub struct Jaeger {
    base: String,
}

/// A span as it was stored.
#[derive(Clone, Debug, Default)]
pub struct Span {
    /// Its trace.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// The span above it; empty for a root.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// Its kind, by OTLP's number: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: u64,
    /// Start in nanoseconds of the Unix epoch.
    pub start: u64,
    /// End in nanoseconds of the Unix epoch.
    pub end: u64,
    /// Whether its status is Error.
    pub failed: bool,
    /// Its attributes; numbers as text.
    pub attributes: BTreeMap<String, String>,
    /// What it links to: trace and span.
    pub links: Vec<(String, String)>,
}

impl Jaeger {
    /// At this address.
    pub fn new(base: String) -> Self {
        Self { base }
    }

    /// A trace, as soon as it has the span that was asked for last: spans come in batches, the root last of all.
    pub async fn trace(&self, id: &str, patience: Duration) -> Result<Vec<Span>> {
        let begun = Instant::now();
        let mut before = 0;
        loop {
            let spans = self.stored(id).await?;
            // Whole, and still the same a moment later.
            if is_whole(&spans) && spans.len() == before {
                return Ok(spans);
            }
            before = spans.len();
            if begun.elapsed() > patience {
                ensure!(!spans.is_empty(), "Jaeger has no trace {id}");
                return Ok(spans);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// The spans of a trace that are there now.
    pub async fn stored(&self, id: &str) -> Result<Vec<Span>> {
        let answer = reqwest::get(format!("{}/api/v3/traces/{id}", self.base)).await?;
        if answer.status() == 404 {
            return Ok(Vec::new());
        }
        ensure!(answer.status().is_success(), "Jaeger answers {} for trace {id}", answer.status());
        spans(&answer.json().await?)
    }

    /// Service Performance Monitoring: calls a second by operation, of the last minutes.
    pub async fn call_rates(&self, service: &str) -> Result<BTreeMap<String, f64>> {
        let query = format!(
            "/api/metrics/calls?service={service}&groupByOperation=true&lookback=600000&step=5000&ratePer=60000\
             &spanKind=client&spanKind=producer&spanKind=consumer&spanKind=server"
        );
        let answer = self.get(&query).await?;
        let mut rates = BTreeMap::new();
        for metric in answer["metrics"].as_array().into_iter().flatten() {
            let labels = metric["labels"].as_array().into_iter().flatten();
            let operation = labels.into_iter().find(|label| label["name"] == "operation");
            let points = metric["metricPoints"].as_array().into_iter().flatten();
            let rate =
                points.filter_map(|point| point["gaugeValue"]["doubleValue"].as_f64()).fold(0.0, f64::max);
            if let Some(operation) = operation.and_then(|label| label["value"].as_str()) {
                rates.insert(operation.to_owned(), rate);
            }
        }
        Ok(rates)
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = reqwest::get(format!("{}{path}", self.base)).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "Jaeger answers {status} for {path}: {text}");
        serde_json::from_str(&text).with_context(|| format!("what Jaeger answers for {path} is no JSON"))
    }
}

/// Whether each span's parent is there, and a root.
fn is_whole(spans: &[Span]) -> bool {
    let root = spans.iter().any(|span| span.parent.is_empty());
    root && spans
        .iter()
        .all(|span| span.parent.is_empty() || spans.iter().any(|other| other.id == span.parent))
}

fn spans(answer: &Value) -> Result<Vec<Span>> {
    let document = answer.get("result").unwrap_or(answer);
    let mut spans = Vec::new();
    for resource in document["resourceSpans"].as_array().into_iter().flatten() {
        for scope in resource["scopeSpans"].as_array().into_iter().flatten() {
            for span in scope["spans"].as_array().into_iter().flatten() {
                spans.push(one(span)?);
            }
        }
    }
    Ok(spans)
}

fn one(span: &Value) -> Result<Span> {
    let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
    let time = |name: &str| -> Result<u64> {
        match &span[name] {
            Value::String(text) => Ok(text.parse()?),
            Value::Number(number) => number.as_u64().context("a time is no whole number"),
            other => bail!("a span has {name} {other}"),
        }
    };
    let links = span["links"].as_array().into_iter().flatten();
    Ok(Span {
        trace: text("traceId"),
        id: text("spanId"),
        parent: text("parentSpanId"),
        name: text("name"),
        kind: span["kind"].as_u64().unwrap_or_default(),
        start: time("startTimeUnixNano")?,
        end: time("endTimeUnixNano")?,
        failed: span["status"]["code"] == 2,
        attributes: span["attributes"].as_array().into_iter().flatten().filter_map(attribute).collect(),
        links: links
            .map(|link| {
                let text = |name: &str| link[name].as_str().unwrap_or_default().to_owned();
                (text("traceId"), text("spanId"))
            })
            .collect(),
    })
}

fn attribute(pair: &Value) -> Option<(String, String)> {
    let value = pair["value"].as_object()?.values().next()?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some((pair["key"].as_str()?.to_owned(), text))
}
