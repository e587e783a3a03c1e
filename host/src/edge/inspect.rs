//! What the host says of itself: plugins, instances, traces, metrics, its own description.

use super::name::Name;
use super::problem::Problem;
use super::{Edge, docs};
use crate::flow::trigger::Kind;
use crate::telemetry::Form;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use chassis_abi::Code;
use serde_json::{Value, json};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `/`: to the page.
pub async fn root() -> Redirect {
    Redirect::temporary("/docs")
}

/// `GET /v1/plugins`.
pub async fn plugins(State(edge): State<Edge>) -> Json<Value> {
    Json(edge.host().plugins())
}

/// `GET /v1/instances`.
pub async fn instances(State(edge): State<Edge>) -> Json<Value> {
    let health = edge.host().health();
    let breakers =
        |name: &str| health.iter().find(|shown| shown["name"] == name).map(|shown| &shown["breakers"]);
    let instances: Vec<_> = edge
        .host()
        .instances()
        .iter()
        .map(|instance| {
            let operations = instance.operations().map(|(name, operation)| {
                json!({
                    "name": name,
                    "contract": operation.contract,
                    "summary": operation.summary,
                    "effect": operation.effect,
                })
            });
            json!({
                "name": instance.name,
                "plugin": instance.manifest.name,
                "version": instance.manifest.version,
                "contract": instance.contract,
                "breakers": breakers(&instance.name),
                "operations": operations.collect::<Vec<_>>(),
            })
        })
        .collect();
    Json(json!({ "instances": instances }))
}

/// `GET /v1/traces`.
pub async fn traces(State(edge): State<Edge>) -> Response {
    Json(json!({ "traces": edge.telemetry().traces() })).into_response()
}

/// `GET /v1/traces/{id}`; `last` is the last one of those that did more than to look at the host.
pub async fn trace(State(edge): State<Edge>, Name(id): Name) -> Result<Response, Problem> {
    let telemetry = edge.telemetry();
    let found = if id == "last" { telemetry.last_trace(only_looks) } else { telemetry.trace(&id) };
    found.map(|trace| Json(trace).into_response()).ok_or_else(|| {
        let why = match (id.as_str(), telemetry.keeps_no_traces()) {
            (_, Some(why)) => why.to_owned(),
            ("last", None) => "no trace is in memory yet: call something, or run a flow".to_owned(),
            (id, None) => format!(
                "no finished span of trace `{id}` is in memory: it was not sampled, is still running, or is too old"
            ),
        };
        Problem::new(Code::NotFound, why)
    })
}

/// Whether a request's span, by its name, is of one that only looked at the host (scraped its metrics, asked for its health) or set
/// something in it (faults, the log).
pub fn only_looks(name: &str) -> bool {
    let own = |path: &str| super::routes().iter().any(|(route, _)| *route == path);
    let Some((method, path)) = name.split_once(' ') else { return false };
    match method {
        "GET" | "HEAD" | "OPTIONS" => own(path),
        _ => path.starts_with("/v1/faults") || path.starts_with("/v1/log"),
    }
}

/// `GET /metrics`, in the form that the scraper likes better.
pub async fn metrics(State(edge): State<Edge>, headers: HeaderMap) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (kind, text) = match Form::accepted(accepted) {
        Form::Text => (TEXT, edge.telemetry().prometheus()),
        Form::OpenMetrics => (OPENMETRICS, edge.telemetry().openmetrics()),
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::VARY, HeaderValue::from_static("accept")),
    ];
    (headers, text).into_response()
}

/// `GET /openapi.json`.
pub async fn openapi(State(edge): State<Edge>) -> Json<Value> {
    Json(edge.description())
}

/// `GET /docs`.
pub async fn page(State(edge): State<Edge>) -> Response {
    let policy = HeaderValue::from_static(docs::CONTENT_SECURITY_POLICY);
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(docs::page(&edge.description()))).into_response()
}

/// What no route matches; the nearest is named, of the edge's own and of the flows'.
pub fn unknown(edge: &Edge, path: &str) -> Problem {
    let flows = edge.engine().flows();
    let triggered = flows.iter().flat_map(|flow| &flow.triggers).filter_map(|trigger| match &trigger.kind {
        Kind::Http(route) => Some(route.path.as_str()),
        _ => None,
    });
    Problem::unknown("route", path, super::routes().iter().map(|(route, _)| *route).chain(triggered))
}

/// A route that has not this method; the router adds `Allow`.
pub async fn wrong_method(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::new(Code::Unimplemented, format!("{path} has no {method}"))
        .status(StatusCode::METHOD_NOT_ALLOWED)
}
