//! The contracts: named sets of operations that plugins share, with their types. A plugin implements a contract's trait; names,
//! schemas and what the host may do with an operation (repeat it, gather it) follow from here.
//!
//! Everywhere: what is not there is `null`, not an error; times are milliseconds; a batch takes `items` and answers one
//! [`ItemResult`] for each, in order.

pub mod cache;
pub mod documents;
pub mod http;
pub mod queue;
pub mod relational;
pub mod search;

use crate::{Call, Error};
use chassis_abi::code::ErrorDocument;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A JSON object.
pub type Object = Map<String, Value>;

/// Many inputs in one call. An item that is wrong or fails spoils no other.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch<T> {
    /// The inputs of the single operation.
    pub items: Vec<T>,
    /// What came with each item where the host gathered calls of the single operation; otherwise empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<Origin>,
}

/// What came with a call that is now an item of a batch, and stands for what comes with the batch.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Origin {
    /// The key under which the item must not take effect twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// W3C `traceparent` of the item's span, for backends that hand it on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// W3C `tracestate` of the item's span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// One result for each item of a [`Batch`], in the same order.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct BatchOutput<T> {
    /// The results.
    pub items: Vec<ItemResult<T>>,
}

/// How one item of a batch ended.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemResult<T> {
    /// The output of the single operation.
    Ok(T),
    /// Why it failed.
    Error(ItemError),
}

/// Why one item of a batch failed.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct ItemError {
    /// Canonical code: `already_exists`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// The same item may succeed later.
    #[serde(default)]
    pub retryable: bool,
    /// The effect may have happened all the same.
    #[serde(default)]
    pub maybe_applied: bool,
    /// What led to it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The backend's own code: an SQLSTATE, an HTTP status, an AMQP reply code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How long to wait before another try, where the backend said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The field of the item that is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl<T> Batch<T> {
    /// The items, each with what came with it: its own, or else what came with `call`, its key with the item's number behind it.
    pub fn into_items(self, call: Call<'_>) -> impl Iterator<Item = (T, Origin)> {
        let mut origins = self.origins.into_iter();
        self.items.into_iter().enumerate().map(move |(at, item)| {
            let of_call = || {
                let idempotency_key = call.idempotency_key().map(|key| format!("{key}-{at}"));
                Origin { idempotency_key, ..Origin::of(call) }
            };
            (item, origins.next().unwrap_or_else(of_call))
        })
    }
}

impl Origin {
    /// What came with a call.
    pub fn of(call: Call<'_>) -> Self {
        Self {
            idempotency_key: call.idempotency_key().map(str::to_owned),
            traceparent: call.traceparent().map(str::to_owned),
            tracestate: call.tracestate().map(str::to_owned),
        }
    }

    /// `traceparent` and `tracestate`, as headers for whoever is called next.
    pub fn trace_headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("traceparent", self.traceparent.as_deref()), ("tracestate", self.tracestate.as_deref())]
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)))
    }
}

impl<T> From<Result<T, Error>> for ItemResult<T> {
    fn from(result: Result<T, Error>) -> Self {
        match result {
            Ok(output) => Self::Ok(output),
            Err(Error { code, retryable, maybe_applied, document }) => {
                let ErrorDocument { message, causes, status, retry_after_ms, field } = *document;
                let code = code.as_str().to_owned();
                Self::Error(ItemError {
                    code,
                    message,
                    retryable,
                    maybe_applied,
                    causes,
                    status,
                    retry_after_ms,
                    field,
                })
            }
        }
    }
}

impl<T> FromIterator<Result<T, Error>> for BatchOutput<T> {
    fn from_iter<I: IntoIterator<Item = Result<T, Error>>>(results: I) -> Self {
        Self { items: results.into_iter().map(ItemResult::from).collect() }
    }
}
