//! Commands that speak to a host that runs: its edge, over HTTP.

use super::{Exit, Global};
use crate::error::{CallError, CallFailure};
use bytes::Bytes;
use chassis_abi::Code;
use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;

/// Which host.
#[derive(Clone, Debug, Args)]
pub struct At {
    /// The host that is meant, as host:port; without it the one that the profile's `edge.listen` names
    #[arg(long, value_name = "ADDRESS", env = "CHASSIS_AT")]
    at: Option<String>,
}

/// How long a host may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

impl At {
    /// Asks the host, and answers with what it says.
    pub async fn ask(
        &self,
        global: &Global,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Exit> {
        let address = match &self.at {
            Some(address) => address.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            None => reachable(&global.load_quiet()?.edge.listen),
        };
        let asked = tokio::time::timeout(PATIENCE, ask(&address, method, path, body)).await;
        let (status, answer) =
            asked.unwrap_or_else(|_| Err("it does not answer".to_owned())).map_err(|why| {
                let message = format!(
                    "no host at {address}: {why}; start one with `chassis run`, or name it with --at"
                );
                Exit::from(CallFailure::new(Code::Unavailable, message))
            })?;
        if status < 400 { Ok(answer) } else { Err(failure(status, answer).into()) }
    }
}

async fn ask(address: &str, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(address).await.map_err(|error| text(&error))?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
    tokio::spawn(connection);
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", address)
        .header("content-type", "application/json")
        .body(Full::new(body))
        .map_err(|error| text(&error))?;
    let response = sender.send_request(request).await.map_err(|error| text(&error))?;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.map_err(|error| text(&error))?.to_bytes();
    Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
}

/// A host that listens everywhere listens here.
fn reachable(listen: &str) -> String {
    listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
}

fn failure(status: u16, problem: Value) -> CallFailure {
    let code = Code::deserialize(&problem["code"]).unwrap_or(Code::Unknown);
    let detail = problem["detail"].as_str().map(str::to_owned);
    let error = CallError::new(code, detail.unwrap_or_else(|| format!("the host answered {status}")));
    let flag = |name: &str| problem[name].as_bool().unwrap_or_default();
    CallError {
        retryable: flag("retryable"),
        maybe_applied: flag("maybe_applied"),
        field: problem["field"].as_str().map(str::to_owned),
        ..error
    }
    .into()
}
