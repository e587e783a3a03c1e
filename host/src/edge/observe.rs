//! One request as telemetry sees it, and the trace's id on its answer, whatever that is.

use super::problem::Problem;
use super::{Edge, context};
use crate::flow::set::Routing;
use crate::telemetry::{ServerSpan, propagation};
use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use opentelemetry::trace::SpanContext;

/// The trace's id, for people.
pub static TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
/// The edge's span, for the caller's tracing (W3C Trace Context, level 2 draft).
pub static TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// A request under way. Dropped unanswered, its client went away.
pub struct Observed(ServerSpan);

/// What an answer says of its trace.
pub struct TraceHeaders(Bytes);

/// Observes every route but the one of calls, which does it by itself: a layer would cost it an allocation or two.
pub async fn layer(
    State(edge): State<Edge>,
    route: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    // What is none of the edge's own may be a flow's.
    let routing =
        route.is_none().then(|| edge.engine().flows().route(parts.method.as_str(), parts.uri.path()));
    let template = match (&route, &routing) {
        (None, Some(Routing::To(routed))) => Some(routed.template()),
        (route, _) => route.as_ref().map(MatchedPath::as_str),
    };
    let span = edge.observe(&parts, template);
    request = Request::from_parts(parts, body);
    if let Some(routing) = routing {
        request.extensions_mut().insert(routing);
    }
    request.extensions_mut().insert(span.context().clone());
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => span.respond(Err(problem)),
        None => span.respond(Ok(response)),
    }
}

impl Edge {
    /// A request begins. `route` is none for what no route matches.
    pub(super) fn observe(&self, parts: &Parts, route: Option<&str>) -> Observed {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST);
        let (host, port) = match host.map(|host| host.rsplit_once(':')) {
            Some(Some((name, port))) if !port.ends_with(']') => (Some(name), port.parse().ok()),
            _ => (host, None),
        };
        let request = crate::telemetry::ServerRequest {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            host,
            port,
            client: None,
            user_agent: text(header::USER_AGENT),
        };
        Observed(self.route(route).start(request, &context::parent(&parts.headers)))
    }
}

impl Observed {
    /// What the request causes is below this.
    pub fn context(&self) -> &SpanContext {
        self.0.context()
    }

    /// What the answer will say of the trace.
    pub fn trace_headers(&self) -> TraceHeaders {
        TraceHeaders(Bytes::copy_from_slice(propagation::traceparent(self.context()).as_bytes()))
    }

    /// Completes the answer, and ends the span.
    pub fn respond(self, answer: Result<Response, Problem>) -> Response {
        let trace = self.trace_headers();
        let mut response = match answer {
            Ok(response) => response,
            Err(problem) => problem.render(trace.id()),
        };
        trace.apply(response.headers_mut());
        self.0.finish(response.status().as_u16());
        response
    }

    /// Ends the span of an answer that was sent piece by piece. `failed` is how it broke off: the status line was gone by then.
    pub fn finish(mut self, status: u16, failed: Option<&Problem>) {
        if let Some(problem) = failed {
            let code = problem.code();
            let span = self.0.span();
            if problem.http_status().is_server_error() {
                span.fail(code.as_str(), "the stream broke off");
            }
        }
        self.0.finish(status);
    }
}

impl TraceHeaders {
    /// The trace's id.
    pub fn id(&self) -> &str {
        // Made of a `traceparent`: 00-TRACE-SPAN-FLAGS in ASCII.
        std::str::from_utf8(&self.0[3..35]).unwrap_or_default()
    }

    /// Puts both headers on an answer.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, bytes) in [(&TRACE_ID, self.0.slice(3..35)), (&TRACE_RESPONSE, self.0.clone())] {
            if let Ok(value) = HeaderValue::from_maybe_shared(bytes) {
                headers.insert(name, value);
            }
        }
    }
}
