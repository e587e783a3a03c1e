//! `http`: requests to an HTTP API below a base URL. A status of 400 and above is an error; redirects are not followed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

crate::contract! {
    /// Requests to an HTTP API below a base URL.
    pub trait Http = "http", kind = Http {
        /// Sends a request. It counts as idempotent only with an idempotency key, sent as the header `Idempotency-Key`.
        unary request(Request) -> Response { effect: Write, keyed: true, target: "/path" }
        /// Gets a resource.
        unary get(Get) -> Response { effect: Read, idempotent: true, target: "/path" }
    }
}

/// A request.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path below the base URL, with `{name}` for values of `path_params`: a template, seen in telemetry as it is written.
    pub path: String,
    /// Values for the path; each is percent-encoded.
    #[serde(default)]
    pub path_params: BTreeMap<String, Value>,
    /// Query parameters.
    #[serde(default)]
    pub query: BTreeMap<String, Value>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body, sent as JSON; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// A GET request.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Get {
    /// Path below the base URL, with `{name}` for values of `path_params`.
    pub path: String,
    /// Values for the path; each is percent-encoded.
    #[serde(default)]
    pub path_params: BTreeMap<String, Value>,
    /// Query parameters.
    #[serde(default)]
    pub query: BTreeMap<String, Value>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Reads the headers only.
    Head,
    /// Makes or does.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Deletes.
    Delete,
}

/// An answer.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Response {
    /// The status, below 400.
    pub status: u16,
    /// Headers that are text, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON as it is, other text as a string, none as `null`.
    pub body: Value,
}
