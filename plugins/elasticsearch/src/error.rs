//! What the server's answers and the client's errors mean.

use chassis_guest::{Code, Effect, Error};
use serde_json::Value;
use std::time::Duration;

/// The request got no answer.
pub fn of(error: &elasticsearch::Error, effect: Effect) -> Error {
    let failed = if error.is_timeout() {
        Error::new(Code::DeadlineExceeded, "elasticsearch did not answer in time").retryable(true)
    } else {
        Error::unavailable("cannot reach elasticsearch")
    };
    let failed = failed.caused_by(error);
    // Whether the request was sent is not told; that nobody listened is.
    let refused = format!("{error:?}").contains("ConnectionRefused");
    if effect == Effect::Write && !refused { failed.maybe_applied() } else { failed }
}

/// The server refused the request.
pub fn refused(status: u16, retry_after: Option<u64>, body: Value) -> Error {
    let error = item(status, &body["error"]);
    match retry_after {
        Some(seconds) => error.retry_after(Duration::from_secs(seconds)),
        None => error,
    }
}

/// The error of a request, or of one item of a bulk.
pub fn item(status: u16, error: &Value) -> Error {
    let kind = error["type"].as_str().unwrap_or_default();
    let reason = error["reason"].as_str().or(error.as_str()).unwrap_or("no reason was given");
    let code = match status {
        400 if kind == "resource_already_exists_exception" => Code::AlreadyExists,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 if kind == "version_conflict_engine_exception" => Code::AlreadyExists,
        409 => Code::Aborted,
        408 | 504 => Code::DeadlineExceeded,
        429 => Code::ResourceExhausted,
        502 | 503 => Code::Unavailable,
        400..500 => Code::InvalidArgument,
        _ => Code::Internal,
    };
    let message = if kind.is_empty() { reason.to_owned() } else { format!("{kind}: {reason}") };
    Error::new(code, format!("elasticsearch refused it: {message}")).status(status.to_string())
}
