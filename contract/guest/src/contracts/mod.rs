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

use crate::Error;
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
}

impl<T> From<Result<T, Error>> for ItemResult<T> {
    fn from(result: Result<T, Error>) -> Self {
        match result {
            Ok(output) => Self::Ok(output),
            Err(error) => Self::Error(ItemError {
                code: error.code.as_str().to_owned(),
                message: error.document.message,
                retryable: error.retryable,
                maybe_applied: error.maybe_applied,
            }),
        }
    }
}

impl<T> FromIterator<Result<T, Error>> for BatchOutput<T> {
    fn from_iter<I: IntoIterator<Item = Result<T, Error>>>(results: I) -> Self {
        Self { items: results.into_iter().map(ItemResult::from).collect() }
    }
}
