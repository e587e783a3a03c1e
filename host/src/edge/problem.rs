//! Errors as problem documents (RFC 9457).

use crate::config::problem::did_you_mean;
use crate::error::CallFailure;
use crate::flow::IDEMPOTENCY;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chassis_abi::Code;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// The type of the problem that an idempotency key was used for another request.
pub const KEY_REUSED: &str = "idempotency_key_reused";
/// What it means.
pub const KEY_REUSED_TITLE: &str = "The idempotency key was used for another request";

/// Media type of a problem document.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What is answered instead of a result. As a response it is only a draft: [`Problem::render`] writes the body, once the
/// trace is known.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    status: StatusCode,
    failure: CallFailure,
    headers: HeaderMap,
    extra: Map<String, Value>,
}

/// The document's members, in the order in which a person reads them.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: String,
    code: &'static str,
    retryable: bool,
    maybe_applied: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    causes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<f64>,
    trace_id: &'a str,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

impl Problem {
    /// A problem that the edge itself found.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self::from(CallFailure::new(code, detail))
    }

    /// A part of the request that is wrong: a field of the input, or the name of a header.
    pub fn invalid(field: &str, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(Code::InvalidArgument, detail);
        problem.0.failure.error.field = Some(field.to_owned());
        problem
    }

    /// A name in the path that is not known, with the nearest that is.
    pub fn unknown<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let advice =
            did_you_mean(name, known.iter().copied()).map(|advice| format!("; {advice}")).unwrap_or_default();
        Self::new(Code::NotFound, format!("there is no {kind} `{name}`{advice}")).nearest(name, known)
    }

    /// The same with the nearest valid name as a member, for programs; none if no name is near.
    pub fn nearest<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let far = |right: &str| strsim::damerau_levenshtein(name, right);
        let nearest = known.into_iter().min_by_key(|right| (far(right), *right));
        match nearest.filter(|right| far(right) <= (right.len().max(name.len()) / 3).max(1)) {
            Some(nearest) => self.member("nearest", nearest),
            None => self,
        }
    }

    /// The same with another HTTP status than the code's own.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// The same, worth another try after `wait`.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.failure.error.retryable = true;
        self.0.failure.error.retry_after = Some(wait);
        self
    }

    /// The same with one more header.
    pub fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// The same with one more member.
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Whether the request carries the key of another one.
    fn reuses_a_key(&self) -> bool {
        self.0.failure.refused_by == Some(IDEMPOTENCY) && self.code() == Code::InvalidArgument
    }

    /// The HTTP status.
    pub fn http_status(&self) -> StatusCode {
        self.0.status
    }

    /// The canonical code.
    pub fn code(&self) -> Code {
        self.0.failure.error.code
    }

    /// The document.
    pub fn document(&self, trace_id: &str) -> Vec<u8> {
        let error = &self.0.failure.error;
        let document = Document {
            r#type: format!("/docs#{}", if self.reuses_a_key() { KEY_REUSED } else { error.code.as_str() }),
            title: if self.reuses_a_key() { KEY_REUSED_TITLE } else { title(error.code) },
            status: self.0.status.as_u16(),
            detail: &error.message,
            instance: format!("/v1/traces/{trace_id}"),
            code: error.code.as_str(),
            retryable: error.retryable,
            maybe_applied: error.maybe_applied,
            causes: &error.causes,
            field: error.field.as_deref(),
            policy: self.0.failure.refused_by,
            backend_status: error.status.as_deref(),
            retry_after: error.retry_after.map(|wait| wait.as_secs_f64()),
            trace_id,
            extra: &self.0.extra,
        };
        serde_json::to_vec(&document).unwrap_or_else(|_| b"{}".to_vec())
    }

    /// The whole response.
    pub fn render(self, trace_id: &str) -> Response {
        let mut response = Response::new(Body::from(self.document(trace_id)));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.extend(self.0.headers);
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if let Some(wait) = self.0.failure.error.retry_after {
            // The header knows whole seconds only: rounded up, so that nobody comes too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<CallFailure> for Problem {
    fn from(failure: CallFailure) -> Self {
        let status = StatusCode::from_u16(failure.error.code.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let problem = Self(Box::new(Parts { status, failure, headers: HeaderMap::new(), extra: Map::new() }));
        if problem.reuses_a_key() { problem.status(StatusCode::UNPROCESSABLE_ENTITY) } else { problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.status;
        response.extensions_mut().insert(self);
        response
    }
}

/// What a code means, in a few words: `title` of the document and the table in `/docs`.
pub fn title(code: Code) -> &'static str {
    match code {
        Code::Cancelled => "The caller gave the call up",
        Code::Unknown => "The cause is not known",
        Code::InvalidArgument => "The request is wrong",
        Code::DeadlineExceeded => "The deadline passed",
        Code::NotFound => "Not found",
        Code::AlreadyExists => "It exists already",
        Code::PermissionDenied => "Not allowed",
        Code::ResourceExhausted => "A limit is reached",
        Code::FailedPrecondition => "The backend is not in the state that this needs",
        Code::Aborted => "Given up for a conflict with another call",
        Code::OutOfRange => "Past the end",
        Code::Unimplemented => "There is no such operation",
        Code::Internal => "A defect",
        Code::Unavailable => "The backend cannot be reached",
        Code::DataLoss => "Data is lost or unreadable",
        Code::Unauthenticated => "Credentials are missing or wrong",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_every_member_and_whole_seconds_in_the_header() {
        let mut failure = CallFailure::refused(
            "bulkhead",
            Code::ResourceExhausted,
            "25 calls are in flight",
            Duration::from_millis(1200),
        );
        failure.error.causes = vec!["pool is full".to_owned()];
        failure.error.field = Some("items[0].key".to_owned());
        failure.error.status = Some("53300".to_owned());
        let problem = Problem::from(failure).member("nearest", "users");
        let document: Value = serde_json::from_slice(&problem.document("abc")).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "type": "/docs#resource_exhausted", "title": "A limit is reached", "status": 429,
                "detail": "25 calls are in flight", "instance": "/v1/traces/abc", "code": "resource_exhausted",
                "retryable": true, "maybe_applied": false, "causes": ["pool is full"], "field": "items[0].key",
                "policy": "bulkhead", "backend_status": "53300", "retry_after": 1.2, "trace_id": "abc",
                "nearest": "users",
            })
        );
        let response = problem.render("abc");
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn every_code_has_a_status_that_http_knows() {
        for code in Code::ALL {
            assert_eq!(Problem::new(*code, "x").http_status().as_u16(), code.http_status());
        }
    }
}
