//! The listener: how many connections, how slow a client may be, and how it all ends.

use super::Settings;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Connections beyond the limit that are told so at the same time; more are closed without a word.
const TURNED_AWAY_LIMIT: usize = 64;
/// How long a connection beyond the limit may take to say what it wants.
const TURNED_AWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves `router` until `shutdown`, then lets every connection finish the request it is in. Dropping the future closes
/// what is still open: calls in flight are cancelled.
///
/// A connection beyond the limit gets one answer from `turned_away` and is closed.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    turned_away: Router,
    settings: &Settings,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = std::pin::pin!(shutdown);
    let closing = CancellationToken::new();
    // HTTP/1.1 alone: deciding between versions reads the first bytes before any timeout of a header applies.
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(settings.header_timeout.0);
    let mut brief = http.clone();
    brief.header_read_timeout(TURNED_AWAY_TIMEOUT).keep_alive(false);
    let mut served = JoinSet::new();
    let mut refused = JoinSet::new();
    loop {
        // Biased: a place that became free is seen before the next connection is counted.
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = served.join_next() => {}
            Some(_) = refused.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if served.len() < settings.connection_limit => {
                    limit_patience(&stream, settings.write_timeout.0);
                    served.spawn(connection(stream, router.clone(), http.clone(), closing.clone()));
                }
                Ok((stream, _)) if refused.len() < TURNED_AWAY_LIMIT => {
                    limit_patience(&stream, TURNED_AWAY_TIMEOUT);
                    refused.spawn(connection(stream, turned_away.clone(), brief.clone(), closing.clone()));
                }
                Ok((stream, _)) => drop(stream),
                Err(error) => accept_failed(&error).await,
            }
        }
    }
    // New connections are refused by the system from here on, so that a balancer goes elsewhere.
    drop(listener);
    drop(refused);
    closing.cancel();
    while served.join_next().await.is_some() {}
}

/// How long the client may take nothing of what is there for it. The system knows what it has taken; here only megabytes of buffers are seen.
#[cfg(target_os = "linux")]
fn limit_patience(stream: &TcpStream, limit: Duration) {
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(limit)) {
        tracing::warn!(%error, "edge.write_timeout cannot be set: a client that takes no answer is waited for");
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_patience(_: &TcpStream, _: Duration) {}

async fn connection(stream: TcpStream, router: Router, http: http1::Builder, closing: CancellationToken) {
    // Answers are written in one piece; waiting for more would only add latency.
    let _ = stream.set_nodelay(true);
    let service =
        TowerToHyperService::new(router.map_request(|request: Request<Incoming>| request.map(Body::new)));
    let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // What a client does to its connection is its own affair.
        tracing::debug!(%error, "connection ended early");
    }
}

async fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    // Out of file descriptors, most likely: trying again at once would only burn a core.
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(50)).await;
}
