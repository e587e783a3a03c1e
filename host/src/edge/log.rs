//! `/v1/log`: which log lines there are.

use super::body::{self, Kind};
use super::problem::Problem;
use super::{Edge, read_json};
use crate::telemetry::levels::{self, Filter};
use axum::Json;
use axum::extract::{Request, State};
use chassis_abi::Code;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    filter: String,
}

/// `GET /v1/log`: the filter in force, and who said so.
pub async fn show() -> Result<Json<Filter>, Problem> {
    let none = || Problem::new(Code::FailedPrecondition, "the log of this process is not this host's");
    levels::shown().map(Json).ok_or_else(none)
}

/// `PUT /v1/log`: another filter, until it is changed again or the host ends.
pub async fn set(State(edge): State<Edge>, request: Request) -> Result<Json<Filter>, Problem> {
    let (parts, body) = request.into_parts();
    if body::kind(&parts.headers) != Kind::Json {
        return Err(body::unsupported(&parts.headers, "application/json"));
    }
    let wanted: Wanted = read_json(&edge, body).await?;
    levels::set(&wanted.filter).map(Json).map_err(|error| Problem::invalid("filter", error))
}
