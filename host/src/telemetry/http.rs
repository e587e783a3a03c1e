//! `http.client.*`: requests to HTTP APIs.

use super::address::redact;
use super::failure::ByKey;
use super::metrics::{Metrics, label};
use super::pointer::Pointer;
use super::recording::Recording;
use super::shape::{Common, Outcome, Target};
use ::metrics::{Histogram, Label};
use chassis_abi::Code;
use opentelemetry::KeyValue;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

const DURATION: &str = "http_client_request_duration_seconds";

/// Methods that may be labels; the conventions call every other one `_OTHER`.
pub(super) const METHODS: &[&str] =
    &["_OTHER", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY"];

/// An operation that sends a request.
pub(super) struct Http {
    method: Method,
    template: Option<Target>,
    base: Option<Url>,
    status: Pointer,
    labels: Vec<Label>,
    handles: ByKey<Histogram>,
}

enum Method {
    Fixed(u8),
    Input(Pointer),
}

/// What the URL is made of (contract `http`).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Parts {
    path: String,
    path_params: BTreeMap<String, Value>,
    query: BTreeMap<String, Value>,
}

impl Http {
    pub fn new(
        metrics: &Metrics,
        common: Common<'_>,
        base: Option<Url>,
        attributes: &mut Vec<KeyValue>,
    ) -> Self {
        let mut labels = common.labels();
        common.server(true, attributes, &mut labels);
        let http = Self {
            // The operation is called like its method, or takes it from its input.
            method: match number(&common.declared.operation.to_ascii_uppercase()) {
                0 => Method::Input(Pointer::new("/method")),
                number => Method::Fixed(number),
            },
            template: common.target,
            base,
            status: Pointer::new("/status"),
            labels,
            handles: ByKey::new(),
        };
        if let Method::Fixed(number) = http.method {
            http.handles.with(key(number, 200), || http.handle(metrics, number, Some(200), None), |_| {});
        }
        http
    }

    /// The number of the call's method in [`METHODS`].
    pub fn method(&self, input: &[u8]) -> u8 {
        match &self.method {
            Method::Fixed(number) => *number,
            Method::Input(pointer) => pointer.text(input).map_or(0, |method| number(&method)),
        }
    }

    /// Names the span by method and template: never by the path, of which there are too many.
    pub fn describe(&self, recording: &mut Recording, input: &[u8]) -> Option<String> {
        let number = self.method(input);
        // The name of a method that is not known would be any text.
        let method = METHODS[usize::from(number)];
        let shown = if number == 0 { "HTTP" } else { method };
        let template = self.template.as_ref().and_then(|target| target.read(input));
        recording.attributes.push(KeyValue::new("http.request.method", method));
        recording.name = match &template {
            Some(template) => format!("{shown} {template}").into(),
            None => shown.into(),
        };
        if let Some(template) = &template {
            recording.attributes.push(KeyValue::new("url.template", template.clone()));
        }
        if let Some(url) = self.url(input) {
            recording.attributes.push(KeyValue::new("url.full", url));
        }
        template
    }

    pub fn conclude(&self, recording: &mut Recording, outcome: Outcome<'_>) {
        if let Some(status) = self.status(outcome) {
            recording.set(KeyValue::new("http.response.status_code", i64::from(status)));
        }
    }

    pub fn measure(&self, metrics: &Metrics, method: u8, outcome: Outcome<'_>, elapsed: Duration) {
        let status = self.status(outcome);
        let code = match outcome {
            Outcome::Ok(_) => None,
            Outcome::Error(failure) => Some(failure.code()),
            Outcome::Refused(_) | Outcome::Cancelled => return,
        };
        // A failure without an answer is told apart by its code, beyond the range of a status.
        let number = status.or(code.map(|code| 1000 + code as u16)).unwrap_or_default();
        let make = || self.handle(metrics, method, status, code);
        self.handles.with(key(method, number), make, |handle| handle.record(elapsed.as_secs_f64()));
    }

    fn handle(&self, metrics: &Metrics, method: u8, status: Option<u16>, code: Option<Code>) -> Histogram {
        let mut labels = self.labels.clone();
        labels.push(Label::from_static_parts("http_request_method", METHODS[usize::from(method)]));
        labels.extend(status.map(|status| label("http_response_status_code", &status.to_string())));
        let error = code.map(|code| status.map_or(code.as_str().to_owned(), |status| status.to_string()));
        labels.extend(error.map(|error| label("error_type", &error)));
        metrics.histogram(DURATION, labels)
    }

    fn status(&self, outcome: Outcome<'_>) -> Option<u16> {
        let status = match outcome {
            Outcome::Ok(output) => self.status.read(output)?.to_string().parse().ok()?,
            Outcome::Error(failure) => failure.error.status.as_deref()?.parse().ok()?,
            Outcome::Refused(_) | Outcome::Cancelled => return None,
        };
        (100..600).contains(&status).then_some(status)
    }

    /// `url.full`, put together as a plugin of the contract does it.
    fn url(&self, input: &[u8]) -> Option<String> {
        let mut url = self.base.clone()?;
        let parts: Parts = serde_json::from_slice(input).unwrap_or_default();
        let base = url.path().trim_end_matches('/').to_owned();
        let path: Vec<String> =
            parts.path.split('/').map(|segment| fill(segment, &parts.path_params)).collect();
        url.set_path(&base);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.iter().filter(|segment| !segment.is_empty()));
        }
        if !parts.query.is_empty() {
            url.query_pairs_mut().extend_pairs(parts.query.iter().map(|(name, value)| (name, plain(value))));
        }
        Some(redact(url))
    }
}

/// The position of a method in [`METHODS`].
pub(super) fn number(method: &str) -> u8 {
    METHODS.iter().position(|known| *known == method).unwrap_or(0) as u8
}

fn key(method: u8, status: u16) -> u32 {
    u32::from(method) << 16 | u32::from(status)
}

fn fill(segment: &str, params: &BTreeMap<String, Value>) -> String {
    let mut filled = segment.to_owned();
    for (name, value) in params {
        filled = filled.replace(&format!("{{{name}}}"), &plain(value));
    }
    filled
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
