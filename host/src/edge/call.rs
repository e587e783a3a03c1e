//! `POST /v1/instances/{instance}/{operation}`: bytes in, bytes out. This is the hot path: nothing here reads the JSON.

use super::body::{self, Kind};
use super::problem::Problem;
use super::{Edge, Shape, context, stream, upload};
use crate::error::CallFailure;
use crate::request::{Reply, Request, Upload};
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use chassis_abi::Code;
use opentelemetry::trace::SpanContext;
use std::pin::pin;

/// The route, as spans and metrics name it.
pub const ROUTE: &str = "/v1/instances/{instance}/{operation}";
/// The input as JSON, where the body is something else.
pub static INPUT: HeaderName = HeaderName::from_static("x-chassis-input");
/// The output as JSON, where the body is something else.
pub static OUTPUT: HeaderName = HeaderName::from_static("x-chassis-output");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Clients take about this much in one header.
const OUTPUT_LIMIT: usize = 8 * 1024;

/// Calls an operation of an instance. Not an `async fn`, which would keep the request beside its parts: what a request needs while
/// it waits is allocated as one piece, and a small one is quickly had.
pub fn call(
    State(edge): State<Edge>,
    request: axum::extract::Request,
) -> impl Future<Output = Response> + Send {
    let (parts, body) = request.into_parts();
    async move {
        let span = edge.observe(&parts, Some(ROUTE));
        match answer(&edge, &parts, body, span.context()).await {
            Ok((_, Reply { stream: Some(items), .. })) => {
                stream::response(items, edge.settings().stream_window, edge.0.cut.clone(), span)
            }
            Ok((shape, reply)) => span.respond(whole(shape, &parts.headers, reply)),
            Err(problem) => span.respond(Err(problem)),
        }
    }
}

/// Operations are called by POST alone.
pub async fn wrong_method(State(edge): State<Edge>, request: axum::extract::Request) -> Response {
    let (parts, _) = request.into_parts();
    let span = edge.observe(&parts, Some(ROUTE));
    let problem =
        Problem::new(Code::Unimplemented, format!("operations are called by POST, not by {}", parts.method));
    let problem = problem.status(StatusCode::METHOD_NOT_ALLOWED);
    span.respond(Err(problem.header(header::ALLOW, HeaderValue::from_static("POST"))))
}

async fn answer(
    edge: &Edge,
    parts: &Parts,
    body: Body,
    trace: &SpanContext,
) -> Result<(Shape, Reply), Problem> {
    let (instance, operation) = names(parts.uri.path());
    let host = edge.host();
    let shape =
        host.shape(instance, operation).map_err(|failure| unknown(edge, instance, operation, failure))?;
    // Before the body, which may take its time: the caller's deadline counts from here.
    let context = context::context(&parts.headers, trace.clone())?;
    let kind = body::kind(&parts.headers);
    let settings = edge.settings();
    let (limit, timeout) = (settings.body_limit.bytes(), settings.body_timeout.0);
    if kind == Kind::Lines && shape.upload {
        let (sender, items) = Upload::channel();
        let request =
            Request { json: input(&parts.headers), context, upload: Some(items), ..Request::default() };
        let call = host.call(instance, operation, request);
        let feed = upload::feed(body, upload::Limits { line: limit, stall: timeout }, sender);
        return Ok((shape, Box::pin(uploading(call, feed)).await?));
    }
    let attached = kind == Kind::Raw && shape.raw_input;
    // No body at all is the empty input; a body of no type is nothing to guess at.
    let nothing = kind == Kind::Nothing && hyper::body::Body::is_end_stream(&body);
    if shape.upload || !(attached || nothing || kind == Kind::Json) {
        return Err(body::unsupported(&parts.headers, accepted(shape)));
    }
    let body = body::read(body, limit, timeout).await?;
    let (json, raw) = if attached { (input(&parts.headers), body) } else { (body, Bytes::new()) };
    Ok((shape, host.call(instance, operation, Request { json, raw, context, upload: None }).await?))
}

/// Instance and operation of a path that the router has matched. Names have no character that would have to be escaped.
fn names(path: &str) -> (&str, &str) {
    path.strip_prefix("/v1/instances/").and_then(|names| names.split_once('/')).unwrap_or_default()
}

/// The failure says which name was meant; the nearest one goes into a member, for programs.
#[cold]
fn unknown(edge: &Edge, instance: &str, operation: &str, failure: CallFailure) -> Problem {
    let instances = edge.host().instances();
    match failure.code() {
        Code::NotFound => {
            Problem::from(failure).nearest(instance, instances.iter().map(|info| info.name.as_str()))
        }
        Code::Unimplemented => {
            let info = instances.iter().find(|info| info.name == instance);
            let names = info.into_iter().flat_map(|info| info.operations().map(|(name, _)| name));
            // To a client a path that leads nowhere is 404, whichever part of it is wrong.
            Problem::from(failure).status(StatusCode::NOT_FOUND).nearest(operation, names)
        }
        _ => Problem::from(failure),
    }
}

/// Runs call and feed side by side until the call has ended. A feed that fails ends both: the client's fault comes before what the
/// plugin makes of it.
async fn uploading(
    call: impl Future<Output = Result<Reply, CallFailure>>,
    feed: impl Future<Output = Result<(), Problem>>,
) -> Result<Reply, Problem> {
    let (mut call, mut feed) = (pin!(call), pin!(feed));
    tokio::select! {
        reply = &mut call => return Ok(reply?),
        fed = &mut feed => fed?,
    }
    Ok(call.await?)
}

fn whole(shape: Shape, headers: &HeaderMap, reply: Reply) -> Result<Response, Problem> {
    let raw = shape.raw_output && !only_json(headers);
    let (json, attachment) = reply.into_bytes();
    let mut response = Response::new(Body::from(match (raw, json.is_empty()) {
        (true, _) => attachment,
        (false, true) => Bytes::from_static(b"null"),
        (false, false) => json.clone(),
    }));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, if raw { OCTET_STREAM } else { JSON });
    if raw && !json.is_empty() {
        headers.insert(&OUTPUT, output(&json)?);
    }
    Ok(response)
}

/// The output as a header: JSON in ASCII, without line breaks.
fn output(json: &[u8]) -> Result<HeaderValue, Problem> {
    let text = String::from_utf8_lossy(json);
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => ascii.push(c),
            // Only white space: inside of a string it is escaped already.
            '\n' | '\r' | '\t' => ascii.push(' '),
            c => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}")))
            }
        }
    }
    let value = HeaderValue::from_str(&ascii).ok().filter(|_| ascii.len() <= OUTPUT_LIMIT);
    value.ok_or_else(|| {
        let length = ascii.len();
        Problem::new(
            Code::OutOfRange,
            format!("the output beside the attachment has {length} bytes, more than a header takes: ask for application/json"),
        )
    })
}

fn input(headers: &HeaderMap) -> Bytes {
    headers.get(&INPUT).map(|value| Bytes::copy_from_slice(value.as_bytes())).unwrap_or_default()
}

/// Whether the client takes JSON and nothing that the attachment could be.
fn only_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    accept.contains("json") && !accept.contains("*/*") && !accept.contains("octet-stream")
}

fn accepted(shape: Shape) -> &'static str {
    match (shape.upload, shape.raw_input) {
        (true, _) => "application/x-ndjson, with the input in X-Chassis-Input",
        (_, true) => "application/json, or application/octet-stream with the input in X-Chassis-Input",
        _ => "application/json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_fits_into_a_header_or_is_refused() {
        let value = output("{\"a\":\n\"é😀\"}".as_bytes()).unwrap();
        assert_eq!(value, "{\"a\": \"\\u00e9\\ud83d\\ude00\"}");
        let read: serde_json::Value = serde_json::from_slice(value.as_bytes()).unwrap();
        assert_eq!(read["a"], "é😀");
        let problem = output(&vec![b'1'; OUTPUT_LIMIT + 1]).unwrap_err();
        assert_eq!(problem.code(), Code::OutOfRange);
    }

    #[test]
    fn an_attachment_is_answered_unless_only_json_will_do() {
        let accept =
            |value: &str| only_json(&HeaderMap::from_iter([(header::ACCEPT, value.parse().unwrap())]));
        assert!(accept("application/json"));
        assert!(!accept("application/json, */*"));
        assert!(!accept("application/octet-stream"));
        assert!(!only_json(&HeaderMap::new()));
    }
}
