//! Request bodies: their type, their size, and how long they may take.

use super::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use chassis_abi::Code;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::task::Poll;
use std::time::Duration;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No `Content-Type`.
    Nothing,
    /// `application/json`, or a type built on it.
    Json,
    /// `application/octet-stream`: a raw attachment.
    Raw,
    /// `application/x-ndjson`: items, one a line.
    Lines,
    /// Anything else.
    Other,
}

/// The kind that `Content-Type` says.
pub fn kind(headers: &HeaderMap) -> Kind {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Kind::Nothing };
    // Most clients send exactly this.
    if value.as_bytes() == b"application/json" {
        return Kind::Json;
    }
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    match essence.trim().to_ascii_lowercase().as_str() {
        "application/json" => Kind::Json,
        "application/octet-stream" => Kind::Raw,
        "application/x-ndjson" | "application/jsonl" => Kind::Lines,
        other if other.ends_with("+json") => Kind::Json,
        _ => Kind::Other,
    }
}

/// The whole body, at most `limit` bytes, within `timeout`. One that came in one piece is not copied.
pub async fn read(mut body: Body, limit: usize, timeout: Duration) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    // A small body is there with its head, in one piece. Only another one pays for a timer and for the room to be joined in.
    let first = match futures_util::poll!(body.frame()) {
        Poll::Ready(None) => return Ok(Bytes::new()),
        Poll::Ready(Some(frame)) => frame.map_err(|error| broken(&error))?.into_data().unwrap_or_default(),
        Poll::Pending => Bytes::new(),
    };
    if first.len() > limit {
        return Err(too_large(limit));
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let rest = Box::pin(tokio::time::timeout(timeout, collect(first, body, limit)));
    rest.await.unwrap_or_else(|_| Err(stalled(timeout)))
}

/// A `Content-Type` that the operation does not take.
pub fn unsupported(headers: &HeaderMap, accepted: &str) -> Problem {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("none");
    Problem::invalid("content-type", format!("the content type is {found}; this takes {accepted}"))
        .status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// More than the limit.
pub fn too_large(limit: usize) -> Problem {
    Problem::new(Code::InvalidArgument, format!("the body is larger than {limit} bytes (edge.body_limit)"))
        .status(StatusCode::PAYLOAD_TOO_LARGE)
        .member("limit", limit)
}

/// A body that did not come in time.
pub fn stalled(timeout: Duration) -> Problem {
    // The rest of it may still come: this connection is of no more use.
    Problem::new(
        Code::DeadlineExceeded,
        format!("the body did not arrive within {timeout:?} (edge.body_timeout)"),
    )
    .status(StatusCode::REQUEST_TIMEOUT)
    .header(header::CONNECTION, header::HeaderValue::from_static("close"))
}

/// A body that broke off.
pub fn broken(error: &axum::Error) -> Problem {
    Problem::new(Code::InvalidArgument, format!("the body could not be read: {error}"))
}

async fn collect(first: Bytes, mut body: Body, limit: usize) -> Result<Bytes, Problem> {
    let Some(mut chunk) = data(&mut body).await? else { return Ok(first) };
    if first.is_empty() && body.is_end_stream() && chunk.len() <= limit {
        return Ok(chunk);
    }
    let expected = body.size_hint().lower().min(limit as u64) as usize;
    let mut all = BytesMut::with_capacity(first.len() + chunk.len() + expected);
    all.extend_from_slice(&first);
    loop {
        if all.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        all.extend_from_slice(&chunk);
        let Some(next) = data(&mut body).await? else { return Ok(all.freeze()) };
        chunk = next;
    }
}

/// The next piece of data; trailers are passed over.
async fn data(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(pieces: &[&'static str]) -> Body {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from(*piece))).collect();
        Body::from_stream(futures_util::stream::iter(pieces))
    }

    #[tokio::test]
    async fn joins_pieces_up_to_the_limit() {
        let second = Duration::from_secs(1);
        assert_eq!(read(Body::empty(), 4, second).await.unwrap(), "");
        assert_eq!(read(Body::from("abcd"), 4, second).await.unwrap(), "abcd");
        assert_eq!(read(pieces(&["ab", "c", "d"]), 4, second).await.unwrap(), "abcd");
        for body in [Body::from("abcde"), pieces(&["abcde"]), pieces(&["ab", "cd", "e"])] {
            assert_eq!(read(body, 4, second).await.unwrap_err().http_status(), 413);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up() {
        let stalled = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let problem = read(stalled, 4, Duration::from_secs(30)).await.unwrap_err();
        assert_eq!(problem.http_status(), 408);
    }

    #[test]
    fn content_types() {
        let of = |value: &str| kind(&HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]));
        assert_eq!(of("Application/JSON; charset=utf-8"), Kind::Json);
        assert_eq!(of("application/merge-patch+json"), Kind::Json);
        assert_eq!(of("application/octet-stream"), Kind::Raw);
        assert_eq!(of("application/x-ndjson"), Kind::Lines);
        assert_eq!(of("application/x-www-form-urlencoded"), Kind::Other);
        assert_eq!(kind(&HeaderMap::new()), Kind::Nothing);
    }
}
