//! Requests to a host, each with its trace and run.

use anyhow::{Context, Result, ensure};
use chassis_faults::host::Host;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whoever asks a host.
#[derive(Clone, Debug)]
pub struct Asking {
    base: String,
    client: Client,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; null if it is no JSON.
    pub body: Value,
    /// The trace of the request.
    pub trace: String,
    /// The run, if a flow was started.
    pub run: Option<String>,
}

impl Asking {
    /// Asks this host.
    pub fn new(host: &Host) -> Result<Self> {
        let client = Client::builder().timeout(Duration::from_secs(30)).build()?;
        Ok(Self { base: host.base().to_owned(), client })
    }

    /// One request; a refusal is an answer too.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let header =
            |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (status, run) = (answer.status().as_u16(), header("x-chassis-run"));
        let trace = header("x-trace-id").with_context(|| format!("{path} answers without a trace"))?;
        let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
        Ok(Answer { status, body, trace, run })
    }

    /// Runs a flow.
    pub async fn flow(&self, name: &str, input: &Value) -> Result<Answer> {
        self.ask(Method::POST, &format!("/v1/flows/{name}"), Some(input)).await
    }

    /// Calls an operation of an instance or role.
    pub async fn call(&self, instance: &str, operation: &str, input: &Value) -> Result<Answer> {
        self.ask(Method::POST, &format!("/v1/instances/{instance}/{operation}"), Some(input)).await
    }

    /// A run that must complete; answers with its output.
    pub async fn completed(&self, name: &str, input: &Value) -> Result<Answer> {
        let answer = self.flow(name, input).await?;
        ensure!(answer.status == 200, "flow {name} ended with {}: {}", answer.status, answer.body);
        Ok(answer)
    }

    /// A run, as the journal has it.
    pub async fn run(&self, id: &str) -> Result<Value> {
        let answer = self.ask(Method::GET, &format!("/v1/runs/{id}"), None).await?;
        ensure!(answer.status == 200, "run {id}: {} {}", answer.status, answer.body);
        Ok(answer.body)
    }
}

/// The input for a user that no run before had.
pub fn new_user() -> Value {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    json!({
        "email": format!("observed-{began}-{number}@example.org"), "username": format!("observed-{number}"),
        "full_name": "Ada Observed", "bio": "is looked at", "preferences": { "theme": "dark" },
    })
}
