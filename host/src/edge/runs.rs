//! `/v1/runs`: how runs stand, and what can be done for one that is stuck.

use super::Edge;
use super::body;
use super::name::Name;
use super::problem::Problem;
use crate::config::units::Span;
use crate::flow::{RunPage, RunShown, RunState};
use crate::journal::{Filter, Millis};
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Which runs to list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Which {
    flow: Option<String>,
    state: Option<String>,
    since: Option<Span>,
    before: Option<String>,
    limit: Option<u32>,
}

/// Which step to leave.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Skip {
    step: Option<String>,
}

/// Why to cancel.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Why {
    reason: Option<String>,
}

/// Runs of a page, unless it is said how many.
const LIMIT: u32 = 50;

/// `GET /v1/runs`.
pub async fn list(
    State(edge): State<Edge>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<RunPage>, Problem> {
    let Query(which) = which.map_err(|error| Problem::invalid("query", error.body_text()))?;
    let state = which.state.as_deref().map(state).transpose()?;
    let now = edge.engine().journal().store().now();
    let filter = Filter {
        flow: which.flow,
        state,
        since: which.since.map(|Span(ago)| now - Millis::try_from(ago.as_millis()).unwrap_or(now)),
        before: which.before,
        limit: which.limit.unwrap_or(LIMIT),
    };
    Ok(Json(edge.engine().runs().list(filter).await?))
}

/// `GET /v1/runs/{id}`.
pub async fn show(State(edge): State<Edge>, Name(id): Name) -> Result<Json<RunShown>, Problem> {
    Ok(Json(edge.engine().runs().show(&id).await?))
}

/// `POST /v1/runs/{id}/resume`.
pub async fn resume(State(edge): State<Edge>, Name(id): Name) -> Result<Json<RunShown>, Problem> {
    edge.engine().runs().resume(&id).await?;
    show(State(edge), Name(id)).await
}

/// `POST /v1/runs/{id}/skip`.
pub async fn skip(State(edge): State<Edge>, Name(id): Name, body: Body) -> Result<Json<RunShown>, Problem> {
    let Skip { step } = read(&edge, body).await?;
    edge.engine().runs().skip(&id, step.as_deref()).await?;
    show(State(edge), Name(id)).await
}

/// `POST /v1/runs/{id}/cancel`.
pub async fn cancel(State(edge): State<Edge>, Name(id): Name, body: Body) -> Result<Json<RunShown>, Problem> {
    let Why { reason } = read(&edge, body).await?;
    edge.engine().runs().cancel(&id, reason.as_deref().unwrap_or("cancelled by hand")).await?;
    show(State(edge), Name(id)).await
}

/// A small document that may be left out.
async fn read<T: DeserializeOwned + Default>(edge: &Edge, body: Body) -> Result<T, Problem> {
    let settings = edge.settings();
    let bytes = body::read(body, settings.body_limit.bytes(), settings.body_timeout.0).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| Problem::invalid("body", error.to_string()))
}

fn state(name: &str) -> Result<RunState, Problem> {
    RunState::named(name).ok_or_else(|| {
        let names: Vec<&str> = RunState::ALL.iter().map(|state| state.as_str()).collect();
        Problem::invalid("state", format!("`{name}` is none of {}", names.join(", ")))
            .nearest(name, names.iter().copied())
    })
}
