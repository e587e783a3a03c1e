//! Requests that start a flow by its own path: `[[triggers]]` with `kind = "http"`.

use super::problem::Problem;
use super::{Edge, context, flows, inspect};
use crate::flow::set::{Routed, Routing};
use axum::extract::{Extension, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use opentelemetry::trace::SpanContext;
use serde_json::{Map, Value, json};

/// What none of the edge's own routes matches: a flow's, or nobody's. Where it goes was looked up when the request came, for its span's
/// sake.
pub async fn request(
    State(edge): State<Edge>,
    Extension(trace): Extension<SpanContext>,
    Extension(routing): Extension<Routing>,
    request: Request,
) -> Result<Response, Problem> {
    match routing {
        Routing::To(routed) => run(&edge, &routed, trace, request).await,
        Routing::Otherwise(methods) => {
            let problem = inspect::wrong_method(request).await;
            let allow = HeaderValue::from_str(&methods.join(", "));
            Err(match allow {
                Ok(allow) => problem.header(header::ALLOW, allow),
                Err(_) => problem,
            })
        }
        Routing::Nowhere => Err(inspect::unknown(&edge, request.uri().path())),
    }
}

async fn run(
    edge: &Edge,
    routed: &Routed,
    trace: SpanContext,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let context = context::context(&parts.headers, trace)?;
    let body = flows::body_of(edge, &parts.headers, body).await?;
    let brought = json!({
        "path": routed.captured,
        "query": query(&parts)?,
        "headers": headers(&parts.headers),
        "body": body,
    });
    let roles = edge.engine().roles();
    let otherwise = body.unwrap_or_else(|| json!({}));
    let input = routed.trigger().make_input("request", &brought, &roles, otherwise)?;
    flows::start(edge, &routed.flow.name, input, &parts.headers, context).await
}

/// Of a name that comes several times the last counts.
fn query(parts: &Parts) -> Result<Map<String, Value>, Problem> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let Query(pairs) = pairs.map_err(|error| Problem::invalid("query", error.body_text()))?;
    Ok(pairs.into_iter().map(|(name, value)| (name, value.into())).collect())
}

/// By their names in small letters; what is not text is left out.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let text = |name| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(", ")
    };
    headers.keys().map(|name| (name.to_string(), text(name).into())).collect()
}
