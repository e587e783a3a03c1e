//! Answered streams as lines of JSON: `{"item":…}` each, at the end `{"end":true}` or `{"error":…}`.
//!
//! Items are wrapped so that no item can be taken for an error, and a last line is always there: an answer without one was cut off.

use super::observe::Observed;
use super::problem::Problem;
use crate::error::CallFailure;
use crate::request::{ItemStream, Reply};
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use chassis_abi::Code;
use futures_util::Stream;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Items that are ready go out together, up to about this many bytes.
const CHUNK: usize = 16 * 1024;

/// The response of a stream. Items are asked for as the client reads; a client that is gone drops the stream, and with it the
/// call. The span ends with the last line.
pub fn response(items: ItemStream, window: u32, cut: CancellationToken, span: Observed) -> Response {
    let trace = span.trace_headers();
    let lines = Lines {
        items: items.with_window(window.max(1)),
        cut: Box::pin(cut.cancelled_owned()),
        span: Some(span),
        chunk: BytesMut::new(),
    };
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    trace.apply(response.headers_mut());
    response
}

struct Lines {
    items: ItemStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Gone once the last line is written.
    span: Option<Observed>,
    chunk: BytesMut,
}

impl Stream for Lines {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // First of all: a plugin that always has an item ready would never let it be seen.
        if this.span.is_some() && this.cut.as_mut().poll(cx).is_ready() {
            let mut failure = CallFailure::new(Code::Unavailable, "the host is shutting down");
            failure.error.retryable = true;
            this.failed(failure);
        }
        while this.span.is_some() && this.chunk.len() < CHUNK {
            match this.items.poll_item(cx) {
                Poll::Ready(Some(Ok(item))) => this.item(&item),
                Poll::Ready(Some(Err(error))) => this.failed(CallFailure::from(error)),
                Poll::Ready(None) => this.end(b"{\"end\":true}\n", None),
                Poll::Pending => break,
            }
        }
        if !this.chunk.is_empty() {
            return Poll::Ready(Some(Ok(this.chunk.split().freeze())));
        }
        if this.span.is_none() { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl Lines {
    fn item(&mut self, item: &Reply) {
        let json = if item.json().is_empty() { b"null" } else { item.json() };
        self.chunk.extend_from_slice(b"{\"item\":");
        // A line break is only white space in JSON, but the end of a line here.
        self.chunk.extend(json.iter().map(|&byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
        if !item.raw().is_empty() {
            self.chunk.extend_from_slice(b",\"raw\":\"");
            self.chunk.extend_from_slice(BASE64_STANDARD.encode(item.raw()).as_bytes());
            self.chunk.extend_from_slice(b"\"");
        }
        self.chunk.extend_from_slice(b"}\n");
    }

    fn failed(&mut self, failure: CallFailure) {
        let Some(span) = &self.span else { return };
        let problem = Problem::from(failure);
        let line = [b"{\"error\":", problem.document(span.trace_headers().id()).as_slice(), b"}\n"].concat();
        self.end(&line, Some(&problem));
    }

    fn end(&mut self, line: &[u8], failed: Option<&Problem>) {
        self.chunk.extend_from_slice(line);
        if let Some(span) = self.span.take() {
            // The status line is long gone; the span still says how it ended.
            span.finish(200, failed);
        }
    }
}
