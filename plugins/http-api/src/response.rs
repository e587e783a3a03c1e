//! From an answer to an output, or to an error.

use crate::error;
use chassis_guest::contracts::http::Response;
use chassis_guest::serde_json::{self, Value};
use chassis_guest::{Code, Error};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use std::collections::BTreeMap;

/// Reads an answer to its end. `safe`: the request changed nothing.
pub async fn read(mut answer: reqwest::Response, limit: u64, safe: bool) -> Result<Response, Error> {
    let status = answer.status();
    if !(200..400).contains(&status.as_u16()) {
        // What was wrong is told in the body; an answer that breaks off there has still been given.
        let body = body(&mut answer, limit, true).await.unwrap_or_default();
        return Err(error::refused(status, answer.headers(), &body, safe));
    }
    let bytes = body(&mut answer, limit, safe).await?;
    let headers = answer.headers();
    let body = parse(headers, bytes).map_err(|error| done(error.status(status.as_str()), safe))?;
    Ok(Response { status: status.as_u16(), headers: texts(headers), body })
}

async fn body(answer: &mut reqwest::Response, limit: u64, safe: bool) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let announced = answer.content_length().unwrap_or_default();
    if announced > limit {
        return Err(too_long(limit, safe));
    }
    while let Some(chunk) = answer.chunk().await.map_err(|error| error::sending(error, safe))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > limit {
            return Err(too_long(limit, safe));
        }
    }
    Ok(bytes)
}

fn too_long(limit: u64, safe: bool) -> Error {
    let message = format!("the answer is longer than the {limit} bytes of `body_limit`");
    done(Error::new(Code::ResourceExhausted, message).retryable(false), safe)
}

/// JSON as it is, other text as a string, nothing as null. What says of itself that it is JSON and is not would be taken for a text
/// by who reads fields of it: that is the API's failure.
fn parse(headers: &HeaderMap, bytes: Vec<u8>) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let said = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if is_json(said) {
        return serde_json::from_slice(&bytes).map_err(|error| {
            let message = format!("the API answered {said}, and its body is no JSON: {error}");
            Error::internal(message).caused_by(&error::Said::excerpt(&bytes))
        });
    }
    if (bytes.starts_with(b"{") || bytes.starts_with(b"["))
        && let Ok(value) = serde_json::from_slice(&bytes)
    {
        return Ok(value);
    }
    String::from_utf8(bytes).map(Value::String).map_err(|_| {
        Error::new(Code::FailedPrecondition, "the API answered neither JSON nor text (in UTF-8)")
    })
}

/// `application/json`, and what is built on it. JSON of a value a line (`x-ndjson`) is another type.
fn is_json(said: &str) -> bool {
    let essence = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(&*essence, "application/json" | "text/json") || essence.ends_with("+json")
}

/// The request was carried out although its answer is of no use.
fn done(error: Error, safe: bool) -> Error {
    if safe { error } else { error.maybe_applied() }
}

fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        let text = texts.entry(name.as_str().to_owned()).or_default();
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(value);
    }
    texts
}
