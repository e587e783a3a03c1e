//! How the host is: whether it lives, whether it takes calls, and every instance.

use super::Edge;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use chassis_abi::Code;
use serde_json::{Value, json};
use std::time::Duration;

/// `GET /health`: every instance. Always 200, as this is a report: an instance that is down is no reason to take the host out of
/// service, and `/health/ready` says what is one.
pub async fn report(State(edge): State<Edge>) -> Json<Value> {
    let instances = edge.host().health();
    let all_well = instances.iter().all(|instance| instance["state"] == "ok");
    let status = match (edge.is_ready(), all_well) {
        (false, _) => "not_ready",
        (true, false) => "degraded",
        (true, true) => "ok",
    };
    Json(json!({ "status": status, "instances": instances }))
}

/// `GET /health/live`.
pub async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// `GET /health/ready`.
pub async fn ready(State(edge): State<Edge>) -> Result<Json<Value>, Problem> {
    let standing = || edge.engine().journal().store().standing();
    let reason = match edge.is_ready().then(standing) {
        Some(Ok(())) => return Ok(Json(json!({ "status": "ready" }))),
        Some(Err(error)) => error.to_string(),
        None => "the host is starting or draining".to_owned(),
    };
    Err(Problem::new(Code::Unavailable, reason).retry_after(Duration::from_secs(1)))
}
