//! A small HTTP API on a real socket, that answers what its path asks for.

use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The API; gone when dropped.
pub struct Api {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: usize,
    abandoned: usize,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Api {
    /// Begins to listen.
    pub async fn start() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(serve(listener, Arc::clone(&seen)));
        Ok(Self { address, seen, task })
    }

    /// Ends it; nobody listens any more when this returns. One that is only dropped may take another connection.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).connections
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).requests
    }

    /// How many requests were given up by the client before their answer.
    pub fn abandoned(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).abandoned
    }
}

async fn serve(listener: TcpListener, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        seen.lock().unwrap_or_else(PoisonError::into_inner).connections += 1;
        connections.spawn(talk(stream, Arc::clone(&seen)));
    }
}

async fn talk(stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        seen.lock().unwrap_or_else(PoisonError::into_inner).requests += 1;
        let path = request["target"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
        if path == "break" {
            return;
        }
        if path == "slow" {
            // Only the client can end it.
            let _ = stream.read_u8().await;
            seen.lock().unwrap_or_else(PoisonError::into_inner).abandoned += 1;
            return;
        }
        let answer = answer(&path, &request);
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let headers: Map<String, Value> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), json!(value.trim())))
        .collect();
    let length = headers.get("content-length").and_then(Value::as_str).and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Some(json!({ "method": method, "target": target, "headers": headers, "body": body }))
}

/// `status/CODE`, `retry/…`, `broken/KIND`, `redirect`, `large/BYTES`, `chunked/BYTES`, `text`, `empty`, `twice`; anything else tells the request.
fn answer(path: &str, request: &Value) -> Vec<u8> {
    let (what, how) = path.split_once('/').unwrap_or((path, ""));
    match what {
        "status" => whole(how, "content-type: text/plain", "because"),
        "retry" if how == "seconds" => whole("503", "retry-after: 7", ""),
        "retry" => whole("429", "retry-after: Fri, 31 Dec 9999 23:59:59 GMT", ""),
        "redirect" => whole("302", "location: /elsewhere", ""),
        "large" => whole("200", "content-type: text/plain", &"x".repeat(how.parse().unwrap_or(0))),
        "chunked" => {
            let body = "x".repeat(how.parse().unwrap_or(0));
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n";
            format!("{head}\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes()
        }
        "broken" if how == "deep" => whole("200", "content-type: application/json", &"[".repeat(1_000)),
        "broken" => whole(
            "200",
            &format!("content-type: {}/{how}", if how == "json" { "application" } else { "text" }),
            "{\"cut",
        ),
        "text" => whole("200", "content-type: text/plain", "snow ☃"),
        "empty" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "twice" => whole("200", "x-twice: one\r\nx-twice: two", "{}"),
        _ => whole("200", "content-type: application/json; charset=utf-8", &request.to_string()),
    }
}

fn whole(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Said\r\n{headers}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}
