//! A host that runs already, asked over its edge.

use super::Exit;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fmt::Display;
use tokio::net::TcpStream;

/// A host's edge, or another service.
pub struct Remote {
    what: &'static str,
    address: String,
}

/// What it answered.
pub struct Answer {
    /// Whether it succeeded.
    pub ok: bool,
    /// Its headers.
    pub headers: HeaderMap,
    /// The result, or the problem.
    pub body: Value,
}

impl Remote {
    /// The edge at an address.
    pub fn at(address: &str) -> Self {
        Self::of("the host", address)
    }

    /// Something else that answers in JSON.
    pub fn of(what: &'static str, address: &str) -> Self {
        Self { what, address: address.to_owned() }
    }

    /// Sends a request, and waits for its answer however long that takes.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Exit> {
        let failed = |error: &dyn Display| {
            Exit::unavailable(format!("{} on {} does not answer: {error}", self.what, self.address))
        };
        let stream = TcpStream::connect(&self.address).await.map_err(|error| failed(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.address);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = request.body(Full::new(bytes)).map_err(|error| Exit::usage(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.map_err(|error| failed(&error))?.to_bytes();
        let body = serde_json::from_slice(&bytes).map_err(|_| {
            Exit::unavailable(format!(
                "what answers on {} is not {}: its answer is no JSON",
                self.address, self.what
            ))
        })?;
        Ok(Answer { ok: parts.status.is_success(), headers: parts.headers, body })
    }

    /// The same where only a success will do.
    pub async fn get(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Exit> {
        let answer = self.ask(method, path, body).await?;
        if answer.ok { Ok(answer.body) } else { Err(Exit::problem(answer.body)) }
    }
}
