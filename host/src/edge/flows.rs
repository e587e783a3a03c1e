//! `POST /v1/flows/{flow}` and `GET /v1/flows`.

use super::body::{self, Kind};
use super::problem::Problem;
use super::{Edge, context};
use crate::flow::RunOutcome;
use crate::flow::model::Work;
use crate::flow::state::RunState;
use axum::Json;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use opentelemetry::trace::SpanContext;
use serde_json::{Value, json};

/// The id of the run, on its answer.
static RUN: HeaderName = HeaderName::from_static("x-chassis-run");

/// Runs a flow to its end. A client that is gone does not stop it.
pub async fn run(
    State(edge): State<Edge>,
    Path(flow): Path<String>,
    Extension(trace): Extension<SpanContext>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let engine = edge.engine();
    let known = || engine.flows().iter().map(|flow| flow.name.as_str());
    if !known().any(|name| name == flow) {
        return Err(Problem::unknown("flow", &flow, known()));
    }
    let context = context::context(&parts.headers, trace)?;
    let input = match body::kind(&parts.headers) {
        Kind::Json => {
            let settings = edge.settings();
            let bytes = body::read(body, settings.body_limit.bytes(), settings.body_timeout.0).await?;
            serde_json::from_slice(&bytes)
                .map_err(|error| Problem::invalid("body", format!("not JSON: {error}")))?
        }
        Kind::Nothing if hyper::body::Body::is_end_stream(&body) => json!({}),
        _ => return Err(body::unsupported(&parts.headers, "application/json")),
    };
    answer(engine.run(&flow, input, context).await?)
}

/// The flows, their input and their steps.
pub async fn list(State(edge): State<Edge>) -> Json<Value> {
    let flows: Vec<_> = edge
        .engine()
        .flows()
        .iter()
        .map(|flow| {
            let steps: Vec<_> = flow
                .steps
                .iter()
                .map(|step| match &step.work {
                    Work::Call(call) => {
                        json!({ "name": step.name, "role": call.role, "operation": call.operation })
                    }
                    Work::Flow(flow) => json!({ "name": step.name, "flow": flow }),
                })
                .collect();
            json!({
                "name": flow.name,
                "description": flow.description,
                "input": flow.input.json_schema(),
                "steps": steps,
            })
        })
        .collect();
    Json(json!({ "flows": flows }))
}

fn answer(outcome: RunOutcome) -> Result<Response, Problem> {
    let Some(error) = &outcome.error else {
        let mut response = Json(&outcome.output).into_response();
        if let Ok(id) = HeaderValue::from_str(&outcome.run_id) {
            response.headers_mut().insert(&RUN, id);
        }
        return Ok(response);
    };
    let mut failure = error.failure.clone();
    // What a step may have done is taken back by now, or it is known that it is not.
    failure.error.maybe_applied = outcome.state == RunState::UndoFailed;
    let steps: Vec<_> =
        outcome.steps.iter().map(|step| json!({ "name": step.name, "state": step.state })).collect();
    let run = json!({
        "id": outcome.run_id,
        "flow": outcome.flow,
        "state": outcome.state,
        "failed_step": error.step,
        "steps": steps,
    });
    Err(Problem::from(failure).member("run", run))
}
