//! Jaeger's query service: traces that the host has no more.

use super::Exit;
use super::remote::Remote;
use crate::telemetry::{Trace, TraceSpan};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fmt;
use url::Url;

/// A Jaeger that can be asked.
pub struct Jaeger {
    url: Url,
    remote: Remote,
}

/// What Jaeger answers (its HTTP JSON API; the same in versions 1 and 2).
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Option<Vec<Found>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    #[serde(rename = "traceID")]
    trace_id: String,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    #[serde(rename = "spanID")]
    span_id: String,
    operation_name: String,
    #[serde(default)]
    references: Vec<Reference>,
    start_time: u64,
    duration: u64,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    ref_type: String,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    value: Value,
}

/// Traces that are looked through for the last one.
const LOOKED_AT: u32 = 20;

impl Jaeger {
    /// The one at this address.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn at(text: &str) -> Result<Self, Exit> {
        let url = Url::parse(text).ok().filter(|url| url.scheme() == "http" && url.host_str().is_some());
        let Some(url) = url else {
            let advice = "expected for example http://127.0.0.1:16686";
            return Err(Exit::usage(format!("--jaeger (CHASSIS_JAEGER_URL) is `{text}`: {advice}")));
        };
        let address =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        Ok(Self { url, remote: Remote::of("Jaeger", &address) })
    }

    /// A trace by its id, or the `last` one of this service.
    pub async fn trace(&self, id: &str) -> Result<Trace, Exit> {
        let base = self.url.path().trim_end_matches('/');
        let path = match id {
            "last" => {
                let service = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
                let service = super::runs::escaped(service.as_deref().unwrap_or("chassis"));
                format!("{base}/api/traces?service={service}&limit={LOOKED_AT}&lookback=1h")
            }
            id => format!("{base}/api/traces/{id}"),
        };
        let answer = self.remote.ask(Method::GET, &path, None).await?;
        let found = Answer::deserialize(answer.body)
            .map_err(|error| Exit::failed(format!("{self} does not answer as Jaeger does: {error}")))?;
        let traces = found.data.unwrap_or_default().into_iter().map(Trace::from);
        // Whoever only looks at a host makes traces too.
        let looks = |trace: &Trace| trace.summary().is_some_and(|root| crate::edge::only_looks(&root.name));
        let last = traces
            .filter(|trace| id != "last" || !looks(trace))
            .max_by_key(|trace| trace.spans.iter().map(|span| span.start_us).min());
        last.filter(|trace| !trace.spans.is_empty()).ok_or_else(|| {
            Exit::failed(match id {
                "last" => format!("neither the host nor {self} has a trace of the last hour"),
                id => format!(
                    "neither the host nor {self} has the trace `{id}`: it was not sampled, was lost, or is too old"
                ),
            })
        })
    }
}

impl fmt::Display for Jaeger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jaeger at {}", self.url)
    }
}

impl From<Found> for Trace {
    fn from(found: Found) -> Self {
        let trace_id = format!("{:0>32}", found.trace_id);
        let mut spans: Vec<TraceSpan> = found.spans.into_iter().map(TraceSpan::from).collect();
        spans.sort_by_key(|span| span.start_us);
        Self { trace_id, spans }
    }
}

impl From<Span> for TraceSpan {
    fn from(span: Span) -> Self {
        let mut attributes: Map<String, Value> =
            span.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        let mut take = |name: &str| attributes.remove(name);
        let failed = take("error") == Some(Value::Bool(true));
        let description = take("otel.status_description").and_then(|text| text.as_str().map(str::to_owned));
        let kind = take("span.kind").and_then(|kind| kind.as_str().map(str::to_owned));
        let _ = (take("otel.status_code"), take("otel.scope.name"), take("otel.scope.version"));
        let (parents, links): (Vec<_>, Vec<_>) =
            span.references.into_iter().partition(|reference| reference.ref_type == "CHILD_OF");
        Self {
            span_id: span.span_id,
            parent_id: parents.into_iter().next().map(|parent| parent.span_id),
            name: span.operation_name,
            kind: kind.unwrap_or_else(|| "internal".to_owned()).into(),
            start_us: span.start_time,
            duration_us: span.duration,
            error: failed.then(|| description.unwrap_or_default()),
            attributes,
            links: links.iter().map(|link| format!("{}:{}", link.trace_id, link.span_id)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_jaeger_answers_is_a_trace_as_the_host_has_it() {
        let answer = json!({ "data": [{ "traceID": "af7651916cd43dd8448eb211c80319c", "processes": {}, "spans": [
            { "traceID": "x", "spanID": "2", "operationName": "GET", "startTime": 1_500, "duration": 300,
              "references": [
                  { "refType": "CHILD_OF", "traceID": "x", "spanID": "1" },
                  { "refType": "FOLLOWS_FROM", "traceID": "y", "spanID": "9" },
              ],
              "tags": [
                  { "key": "span.kind", "type": "string", "value": "client" },
                  { "key": "error", "type": "bool", "value": true },
                  { "key": "otel.status_description", "type": "string", "value": "gone" },
                  { "key": "otel.status_code", "type": "string", "value": "ERROR" },
                  { "key": "chassis.instance", "type": "string", "value": "sessions" },
              ] },
            { "traceID": "x", "spanID": "1", "operationName": "flow f", "startTime": 1_000, "duration": 900, "logs": [] },
        ] }], "errors": null });
        let answer: Answer = serde_json::from_value(answer).unwrap();
        let trace = Trace::from(answer.data.unwrap().remove(0));
        assert_eq!(trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(trace.spans[0].name, "flow f");
        assert_eq!(
            json!(trace.spans[1]),
            json!({ "span_id": "2", "parent_id": "1", "name": "GET", "kind": "client", "start_us": 1_500, "duration_us": 300,
                    "error": "gone", "attributes": { "chassis.instance": "sessions" }, "links": ["y:9"] })
        );
        assert!(
            serde_json::from_value::<Answer>(json!({ "data": null, "errors": [] })).unwrap().data.is_none()
        );
    }

    #[test]
    fn an_address_that_makes_no_sense_is_told_at_once() {
        for wrong in ["127.0.0.1:16686", "https://jaeger", "http://"] {
            assert!(Jaeger::at(wrong).err().unwrap().text().contains("http://127.0.0.1:16686"), "{wrong}");
        }
        assert_eq!(
            Jaeger::at("http://jaeger:16686/ui").unwrap().to_string(),
            "Jaeger at http://jaeger:16686/ui"
        );
    }
}
