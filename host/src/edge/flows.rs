//! `POST /v1/flows/{flow}` and `GET /v1/flows`.

use super::body::{self, Kind};
use super::name::Name;
use super::problem::Problem;
use super::{Edge, context};
use crate::flow::model::Work;
use crate::flow::trigger::Trigger;
use crate::flow::{RunOutcome, RunState, Start, Started};
use crate::request::Context;
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use opentelemetry::trace::SpanContext;
use serde_json::{Value, json};

/// The id of the run, on its answer.
static RUN: HeaderName = HeaderName::from_static("x-chassis-run");

/// Says that the run was there before: the same key was sent again.
static REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// RFC 7240: `respond-async` asks for an answer as soon as the run is durable.
static PREFER: HeaderName = HeaderName::from_static("prefer");

/// Runs a flow to its end. A client that is gone does not stop it.
pub async fn run(
    State(edge): State<Edge>,
    Name(flow): Name,
    Extension(trace): Extension<SpanContext>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let flows = edge.engine().flows();
    if flows.get(&flow).is_err() {
        return Err(Problem::unknown("flow", &flow, flows.iter().map(|flow| flow.name.as_str())));
    }
    let context = context::context(&parts.headers, trace)?;
    let input = body_of(&edge, &parts.headers, body).await?;
    start(&edge, &flow, input.unwrap_or_else(|| json!({})), &parts.headers, context).await
}

/// A body of JSON, if there is a body.
pub async fn body_of(edge: &Edge, headers: &HeaderMap, body: Body) -> Result<Option<Value>, Problem> {
    match body::kind(headers) {
        Kind::Json => {
            let settings = edge.settings();
            let bytes = body::read(body, settings.body_limit.bytes(), settings.body_timeout.0).await?;
            let input = serde_json::from_slice(&bytes);
            input.map(Some).map_err(|error| Problem::invalid("body", format!("not JSON: {error}")))
        }
        Kind::Nothing if hyper::body::Body::is_end_stream(&body) => Ok(None),
        _ => Err(body::unsupported(headers, "application/json")),
    }
}

/// Starts a run and answers what came of it, or, where the client asks for that, as soon as it is durable.
pub async fn start(
    edge: &Edge,
    flow: &str,
    input: Value,
    headers: &HeaderMap,
    context: Context,
) -> Result<Response, Problem> {
    let engine = edge.engine();
    if wants_no_wait(headers) {
        let start = Start { context, ..Start::default() };
        return Ok(accepted(&engine.start(flow, input, start).await?));
    }
    let started = engine.launch(flow, input, context).await?;
    let replayed = started.is_replayed();
    let mut response = answer(started.outcome().await?);
    if let (Ok(response), true) = (&mut response, replayed) {
        response.headers_mut().insert(&REPLAYED, HeaderValue::from_static("true"));
    }
    match response {
        Err(problem) if replayed => Err(problem.header(REPLAYED.clone(), HeaderValue::from_static("true"))),
        response => response,
    }
}

fn wants_no_wait(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all(&PREFER).iter().filter_map(|value| value.to_str().ok());
    preferences.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case("respond-async"))
}

/// The run is durable and goes on by itself; `Location` tells how it stands.
fn accepted(started: &Started) -> Response {
    let location = format!("/v1/runs/{}", started.run_id());
    let mut response = Json(json!({ "run_id": started.run_id(), "location": location })).into_response();
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    if let (Ok(location), Ok(id)) =
        (HeaderValue::from_str(&location), HeaderValue::from_str(started.run_id()))
    {
        headers.insert(header::LOCATION, location);
        headers.insert(&RUN, id);
    }
    if started.is_replayed() {
        headers.insert(&REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// The flows, their input and their steps.
pub async fn list(State(edge): State<Edge>) -> Json<Value> {
    let all = edge.engine().flows();
    let flows: Vec<_> = all
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
                "triggers": flow.triggers.iter().map(Trigger::shown).collect::<Vec<_>>(),
            })
        })
        .collect();
    // Files that are wrong; what they held before they were still runs.
    let problems: Vec<_> = all.problems().0.iter().map(ToString::to_string).collect();
    Json(json!({ "flows": flows, "problems": problems }))
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
    failure.error.maybe_applied = outcome.state == RunState::Stuck;
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
