//! GET over HTTP: our edge, against an axum handler that calls the driver; the load comes from another process.

use super::redis::Measured;
use super::{ROUNDS, direct};
use crate::stats::Pairs;
use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use chassis::edge::Edge;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::process::Command;

/// Ratio of requests a second, ours over the handler's.
pub async fn measure(measured: &Measured, say: &impl Fn(String)) -> Result<f64> {
    let ours = Edge::bind(&measured.app.config.edge).await?;
    let theirs = TcpListener::bind("127.0.0.1:0").await?;
    let (our_address, their_address) = (ours.local_addr()?, theirs.local_addr()?);
    let edge = measured.app.edge();
    edge.set_ready(true);
    let serving = tokio::spawn(async move { edge.serve(ours, std::future::pending()).await });
    let handler = Router::new().route("/get", post(get)).with_state(direct::connect().await?);
    let handling = tokio::spawn(async move { axum::serve(theirs, handler).await });
    let script = tempfile::NamedTempFile::new()?;
    let body = json!({ "key": direct::KEY }).to_string();
    let lua = format!(
        "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = '{body}'\n"
    );
    std::fs::write(script.path(), lua)?;
    let mut pairs = Pairs::default();
    for round in 0..=ROUNDS {
        let ours = wrk(our_address, "/v1/instances/redis/get", script.path()).await?;
        let theirs = wrk(their_address, "/get", script.path()).await?;
        if round > 0 {
            pairs.round(ours, theirs);
        }
    }
    serving.abort();
    handling.abort();
    say(pairs.line("GET over HTTP, 64 connections"));
    Ok(pairs.ratio())
}

/// What a service without a host does: JSON in, the driver, JSON out.
async fn get(State(mut connection): State<MultiplexedConnection>, body: Bytes) -> Result<Bytes, String> {
    let input: serde_json::Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let key = input["key"].as_str().unwrap_or_default();
    let value: Option<String> =
        redis::cmd("GET").arg(key).query_async(&mut connection).await.map_err(|error| error.to_string())?;
    Ok(Bytes::from(json!({ "value": value }).to_string()))
}

async fn wrk(address: SocketAddr, path: &str, script: &std::path::Path) -> Result<f64> {
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c64", "-d1s", "-s"]).arg(script).arg(format!("http://{address}{path}"));
    let output = command.output().await.context("wrk does not run: install it (Debian: wrk)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(!text.contains("Non-2xx"), "{address}{path} answers errors:\n{text}");
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(rate.with_context(|| format!("wrk says: {text}"))?.trim().parse()?)
}
