//! What a batch says: `{"items": [input, …], "origins": […]}` and `{"items": [{"ok": …} | {"error": {…}}, …]}`.

use super::Item;
use crate::error::CallError;
use bytes::Bytes;
use chassis_abi::Code;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

#[derive(Serialize)]
struct Origin<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    items: Vec<Ended<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ended<'a> {
    #[serde(borrow)]
    Ok(&'a RawValue),
    Error(Failed),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Failed {
    code: String,
    message: String,
    retryable: bool,
    maybe_applied: bool,
    causes: Vec<String>,
    status: Option<String>,
    retry_after_ms: Option<u64>,
    field: Option<String>,
}

/// The items' inputs, which are JSON each, as one.
pub(super) fn input(items: &[Item]) -> Bytes {
    let length: usize = items.iter().map(|item| item.json.len() + 1).sum();
    let mut text = Vec::with_capacity(length + 16);
    text.extend_from_slice(b"{\"items\":[");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        text.extend_from_slice(if item.json.is_empty() { b"{}" } else { &item.json });
    }
    text.push(b']');
    if items.iter().any(|item| item.key.is_some() || item.traceparent.is_some()) {
        let origins = items.iter().map(|item| Origin {
            idempotency_key: item.key.as_deref(),
            traceparent: item.traceparent.as_deref(),
            tracestate: item.tracestate.as_deref(),
        });
        text.extend_from_slice(b",\"origins\":");
        // Strings in a list: there is nothing that cannot be written.
        let _ = serde_json::to_writer(&mut text, &origins.collect::<Vec<_>>());
    }
    text.push(b'}');
    text.into()
}

/// Each item's own end; the error says what is wrong with the whole.
pub(super) fn output(json: &Bytes, number: usize) -> Result<Vec<Result<Bytes, CallError>>, String> {
    let output: Output<'_> = serde_json::from_slice(json)
        .map_err(|error| format!("the plugin's answer to a batch cannot be read: {error}"))?;
    if output.items.len() != number {
        let found = output.items.len();
        return Err(format!("the plugin answered a batch of {number} items with {found} results"));
    }
    let own = |ended| match ended {
        Ended::Ok(value) => Ok(json.slice_ref(RawValue::get(value).as_bytes())),
        Ended::Error(failed) => Err(failed.into()),
    };
    Ok(output.items.into_iter().map(own).collect())
}

impl From<Failed> for CallError {
    fn from(failed: Failed) -> Self {
        let code = Code::ALL.iter().find(|code| code.as_str() == failed.code);
        Self {
            code: code.copied().unwrap_or(Code::Unknown),
            message: failed.message,
            retryable: failed.retryable,
            maybe_applied: failed.maybe_applied,
            causes: failed.causes,
            status: failed.status,
            retry_after: failed.retry_after_ms.map(Duration::from_millis),
            field: failed.field,
        }
    }
}
