//! `/v1/faults`: faults on purpose, on a host that allows them.

use super::body::{self, Kind};
use super::name::Name;
use super::problem::Problem;
use super::{Edge, read_json};
use crate::faults::{FaultSpec, Faults};
use axum::Json;
use axum::extract::{Request, State};
use chassis_abi::Code;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /v1/faults`: those in force, with the hits that are left of each.
pub async fn list(State(edge): State<Edge>) -> Result<Json<Value>, Problem> {
    Ok(Json(faults(&edge)?.list()?))
}

/// `POST /v1/faults`: puts one in force.
pub async fn set(State(edge): State<Edge>, request: Request) -> Result<Json<Value>, Problem> {
    let faults = faults(&edge)?;
    let (parts, body) = request.into_parts();
    if body::kind(&parts.headers) != Kind::Json {
        return Err(body::unsupported(&parts.headers, "application/json"));
    }
    let spec: FaultSpec = read_json(&edge, body).await?;
    Ok(Json(faults.set(spec)?))
}

/// `DELETE /v1/faults`: lifts all.
pub async fn clear_all(State(edge): State<Edge>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "cleared": faults(&edge)?.clear(None)? })))
}

/// `DELETE /v1/faults/{name}`: lifts one.
pub async fn clear(State(edge): State<Edge>, Name(name): Name) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "cleared": faults(&edge)?.clear(Some(&name))? })))
}

fn faults(edge: &Edge) -> Result<Arc<Faults>, Problem> {
    let faults = edge.host().faults();
    faults.ok_or_else(|| Problem::new(Code::PermissionDenied, "this host knows no faults"))
}
