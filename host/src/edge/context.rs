//! From headers to the call's context: trace, deadline, idempotency key, tenant.

use super::problem::Problem;
use crate::config::units::Span;
use crate::request::Context;
use crate::telemetry::propagation;
use axum::http::{HeaderMap, HeaderName};
use opentelemetry::trace::SpanContext;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long the caller waits: `250ms`, `2s`, `1m`; a plain number is milliseconds.
pub static REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");
/// On whose behalf.
pub static TENANT: HeaderName = HeaderName::from_static("x-tenant");
/// Under which a repeated call must not take effect twice (draft-ietf-httpapi-idempotency-key-header).
pub static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Keys and tenants longer than this are refused: they are stored by backends and journals.
const NAME_LIMIT: usize = 255;
/// More than any call takes, and far from where an `Instant` overflows.
const TIMEOUT_LIMIT: Duration = Duration::from_secs(86_400);

/// What the caller asks for besides the operation; `trace` is the edge's own span.
pub fn context(headers: &HeaderMap, trace: SpanContext) -> Result<Context, Problem> {
    let deadline =
        text(headers, &REQUEST_TIMEOUT)?.map(timeout).transpose()?.map(|wait| Instant::now() + wait);
    // The draft makes the key a quoted string; most clients send it bare. Both name the same key.
    let idempotency_key = text(headers, &IDEMPOTENCY_KEY)?
        .map(|key| key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key));
    Ok(Context {
        trace,
        deadline,
        idempotency_key: name(IDEMPOTENCY_KEY.as_str(), idempotency_key)?,
        tenant: name(TENANT.as_str(), text(headers, &TENANT)?)?,
        overrides: None,
    })
}

/// The caller's span (W3C Trace Context), or [`SpanContext::NONE`]: one that is not well-formed is ignored, as the
/// specification wants it.
pub fn parent(headers: &HeaderMap) -> SpanContext {
    let Some(traceparent) = headers.get("traceparent").and_then(|value| value.to_str().ok()) else {
        return SpanContext::NONE;
    };
    // The list may come in several headers of this name.
    let states: Vec<_> =
        headers.get_all("tracestate").iter().filter_map(|value| value.to_str().ok()).collect();
    let tracestate = (!states.is_empty()).then(|| states.join(","));
    propagation::parse(traceparent, tracestate.as_deref())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::invalid(name.as_str(), format!("{name} is given more than once")));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim())),
        Err(_) => Err(Problem::invalid(name.as_str(), format!("{name} is not visible ASCII"))),
    }
}

fn name(header: &str, value: Option<&str>) -> Result<Option<Arc<str>>, Problem> {
    match value {
        Some(value) if value.is_empty() || value.len() > NAME_LIMIT => Err(Problem::invalid(
            header,
            format!("{header} has {} bytes, not 1 to {NAME_LIMIT}", value.len()),
        )),
        value => Ok(value.map(Arc::from)),
    }
}

/// The same form as in the configuration.
fn timeout(text: &str) -> Result<Duration, Problem> {
    let header = REQUEST_TIMEOUT.as_str();
    let Ok(Span(wait)) = Span::deserialize(IntoDeserializer::<ValueError>::into_deserializer(text)) else {
        return Err(Problem::invalid(
            header,
            format!("'{text}' is not a time to wait, such as 250ms, 2s or 1m"),
        ));
    };
    if wait.is_zero() || wait > TIMEOUT_LIMIT {
        return Err(Problem::invalid(header, format!("{text} is not between nothing and a day")));
    }
    Ok(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn takes_the_parent_with_all_of_its_state() {
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context =
            parent(&headers(&[("traceparent", traceparent), ("tracestate", "a=1"), ("tracestate", "b=2")]));
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(context.trace_state().get("b"), Some("2"));
        assert!(!parent(&headers(&[("traceparent", "00-0-0-00")])).is_valid());
    }

    #[test]
    fn reads_key_tenant_and_deadline() {
        let headers =
            headers(&[("idempotency-key", "\"a-1\""), ("x-tenant", "acme"), ("x-request-timeout", "250ms")]);
        let context = context(&headers, SpanContext::NONE).unwrap();
        assert_eq!(context.idempotency_key.as_deref(), Some("a-1"));
        assert_eq!(context.tenant.as_deref(), Some("acme"));
        let left = context.deadline.unwrap() - Instant::now();
        assert!(left <= Duration::from_millis(250) && left > Duration::from_millis(100));
    }

    #[test]
    fn refuses_what_it_cannot_read_and_names_the_header() {
        let long = "x".repeat(256);
        for (header, value) in [
            ("x-request-timeout", "soon"),
            ("x-request-timeout", "0s"),
            ("x-request-timeout", "2 weeks"),
            ("x-request-timeout", "9999h"),
            ("idempotency-key", ""),
            ("idempotency-key", "\"\""),
            ("x-tenant", long.as_str()),
            ("x-tenant", "é"),
        ] {
            let problem = context(&headers(&[(header, value)]), SpanContext::NONE).unwrap_err();
            let document: serde_json::Value = serde_json::from_slice(&problem.document("0")).unwrap();
            assert_eq!(document["field"], header, "{value}");
            assert_eq!(document["status"], 400);
        }
    }
}
