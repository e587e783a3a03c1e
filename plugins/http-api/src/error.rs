//! What failures mean.

use chassis_guest::{Code, Error};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// So much of what the API says to a refusal is told.
const EXCERPT: usize = 300;

/// The request got no answer, or not all of it. `safe`: it changes nothing.
pub fn sending(error: reqwest::Error, safe: bool) -> Error {
    // A URL can hold what nobody should see.
    let error = error.without_url();
    if error.is_builder() {
        return Error::new(Code::InvalidArgument, "no request can be made of the input").caused_by(&error);
    }
    if error.is_connect() {
        return Error::unavailable("cannot connect to the API").caused_by(&error);
    }
    let lost = Error::unavailable("the connection to the API was lost").caused_by(&error);
    if safe { lost } else { lost.maybe_applied() }
}

/// The API refused the request.
pub fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8], safe: bool) -> Error {
    let code = match status.as_u16() {
        401 | 407 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 | 410 => Code::NotFound,
        409 => Code::Aborted,
        412 | 423 | 424 | 428 => Code::FailedPrecondition,
        416 => Code::OutOfRange,
        429 => Code::ResourceExhausted,
        408 | 425 | 502 | 503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        405 | 501 => Code::Unimplemented,
        // A status that is not known counts as the first of its class (RFC 9110, 15), and one that HTTP does not have as a failure of
        // the server.
        400..=499 => Code::InvalidArgument,
        _ => Code::Internal,
    };
    let message = match status.as_u16() {
        100..=199 => format!("the API answered {status}, which is no answer to what was asked"),
        200..=599 => format!("the API answered {}", told(status)),
        _ => format!("the API answered {}, a status that HTTP does not have", status.as_str()),
    };
    let mut error = Error::new(code, message).status(status.as_str());
    if status == StatusCode::CONFLICT {
        // The same request would meet the same conflict.
        error = error.retryable(false);
    }
    if let Some(wait) = retry_after(headers) {
        error = error.retry_after(wait);
    }
    // Who was not let in may be shown the credentials again.
    if !matches!(code, Code::Unauthenticated | Code::PermissionDenied) && !body.is_empty() {
        error = error.caused_by(&Said::excerpt(body));
    }
    // A server that fails may have failed half-way; 501 and 503 say that it did not begin.
    let begun = !status.is_client_error() && !matches!(status.as_u16(), 501 | 503);
    if begun && !safe { error.maybe_applied() } else { error }
}

/// With its usual words, where it has some.
fn told(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_str()),
        None => status.as_str().to_owned(),
    }
}

/// Seconds, or an HTTP date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// What the API said to a refusal, or instead of what it announced.
#[derive(Debug)]
pub struct Said(String);

impl Said {
    /// Its beginning.
    pub fn excerpt(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        Self(text.chars().take(EXCERPT).collect())
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}
