//! An edge over the example plugin, on a port of its own, and a client that hides nothing.
#![allow(dead_code, clippy::unwrap_used)]

use bytes::Bytes;
use chassis::edge::{Edge, Host, InstanceInfo, Settings, Shape};
use chassis::error::CallFailure;
use chassis::flow::trace::Spans;
use chassis::flow::{Calls, Engine, Flow, FlowSet};
use chassis::request::{Context, Reply, Request};
use chassis::telemetry::{Config, Telemetry, propagation};
use chassis_abi::Code;
use chassis_loader::{Call, HostServices, Instance, Level, LoadOptions, Plugin};
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const FLOW: &str = r#"
description = "Says it back."

[input]
text = "string"

[steps.said]
call = "voice.echo"
input = { value = "${input.text}" }
undo = "none"

[output]
said = "${steps.said.output.value}"
"#;

/// Its undo cannot even be made, and it needs it.
pub const JAM: &str = r#"
[steps.said]
call = "voice.echo"
input = { value = "x" }
undo = { call = "voice.echo", input = { value = "${step.output.value.missing}" } }

[steps.broken]
call = "voice.panic"
after = ["said"]
undo = "none"
"#;

/// A running edge.
pub struct Running {
    pub address: SocketAddr,
    pub edge: Edge,
    pub shutdown: CancellationToken,
    pub served: JoinHandle<()>,
}

/// Starts one. The flows call the same instance in the role `voice`.
pub async fn start(settings: Settings) -> Running {
    let echo = Arc::new(Echo::open());
    let mut flows = FlowSet::default();
    flows.insert(Flow::parse("say", "say.toml", FLOW).unwrap());
    flows.insert(
        Flow::parse(
            "break",
            "break.toml",
            &FLOW
                .replace("voice.echo", "voice.panic")
                .replace("{ value = \"${input.text}\" }", "{}")
                .replace("${steps.said.output.value}", "never"),
        )
        .unwrap(),
    );
    flows.insert(Flow::parse("jam", "jam.toml", JAM).unwrap());
    let telemetry = Telemetry::start(&Config { log: "off".to_owned(), ..Config::default() }).unwrap();
    let spans = Spans::new(&telemetry, &flows);
    let engine = Engine::new(flows, echo.clone(), spans);
    let settings = Settings { listen: "127.0.0.1:0".to_owned(), ..settings };
    serve(&settings, Edge::new(settings.clone(), echo, engine, telemetry)).await
}

/// Serves an edge.
pub async fn serve(settings: &Settings, edge: Edge) -> Running {
    let listener = Edge::bind(settings).await.unwrap();
    let address = listener.local_addr().unwrap();
    edge.set_ready(true);
    let shutdown = CancellationToken::new();
    let (serving, ending) = (edge.clone(), shutdown.clone());
    let served = tokio::spawn(async move { serving.serve(listener, ending.cancelled_owned()).await });
    Running { address, edge, shutdown, served }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    pub fn lines(&self) -> Vec<Value> {
        self.body
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    /// The problem, after a check of the members that every problem has, and that headers and document agree.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!(self.status, status, "{problem}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("/docs#{code}"));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        assert!(problem["retryable"].is_boolean() && problem["maybe_applied"].is_boolean(), "{problem}");
        assert_eq!(problem["trace_id"], self.trace_id());
        assert_eq!(problem["instance"], format!("/v1/traces/{}", self.trace_id()));
        problem
    }

    /// The trace's id, after a check that both headers say the same.
    pub fn trace_id(&self) -> &str {
        let (id, response) = (self.header("x-trace-id"), self.header("traceresponse"));
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert_eq!(&response[3..35], id);
        id
    }
}

impl Running {
    pub async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Sends a request on a connection of its own.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> hyper::Response<Incoming> {
        self.connect().await.send_request(request(method, path, headers, body)).await.unwrap()
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        read(self.open(method, path, headers, body).await).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    /// A call of the instance `echo` with JSON.
    pub async fn call(&self, operation: &str, input: &str) -> Answer {
        self.post(&format!("/v1/instances/echo/{operation}"), input).await
    }

    pub async fn post(&self, path: &str, input: &str) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], input.as_bytes()).await
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.served).await.unwrap().unwrap();
    }
}

pub fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> hyper::Request<Full<Bytes>> {
    let mut request = hyper::Request::builder().method(method).uri(path).header("host", "edge.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()
}

pub async fn read(response: hyper::Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// Waits until `done` says so; what it waits for must come, or the test fails.
pub async fn eventually<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    for _ in 0..500 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// The example plugin as the only instance, without policies.
struct Echo {
    plugin: Arc<Plugin>,
    instance: Instance,
}

impl Echo {
    fn open() -> Self {
        let plugin = plugin();
        let instance =
            chassis_loader::create(&plugin, "echo", &json!({}), Arc::new(Services(Handle::current())))
                .unwrap();
        Self { plugin, instance }
    }
}

impl Host for Echo {
    fn shape(&self, instance: &str, operation: &str) -> Result<Shape, CallFailure> {
        if instance != "echo" {
            return Err(CallFailure::new(Code::NotFound, format!("there is no instance `{instance}`")));
        }
        match self.plugin.manifest().operation(operation) {
            Some((_, entry)) => Ok(Shape::from(entry)),
            None => {
                Err(CallFailure::new(Code::Unimplemented, format!("there is no operation `{operation}`")))
            }
        }
    }

    fn call<'a>(
        &'a self,
        _: &'a str,
        operation: &'a str,
        request: Request,
    ) -> BoxFuture<'a, Result<Reply, CallFailure>> {
        let Request { json, raw, context, upload } = request;
        let call = Call {
            operation: self.plugin.manifest().operation(operation).unwrap().0,
            json,
            raw,
            upload,
            traceparent: Some(propagation::traceparent(&context.trace)),
            tracestate: propagation::tracestate(&context.trace),
            idempotency_key: context.idempotency_key,
            tenant: context.tenant,
            deadline: context.deadline.map(|by| SystemTime::now() + (by - tokio::time::Instant::now())),
            clock: None,
        };
        let call = self.instance.call(call);
        Box::pin(async move {
            let Some(deadline) = context.deadline else { return call.await.map_err(CallFailure::from) };
            match tokio::time::timeout_at(deadline, call).await {
                Ok(reply) => reply.map_err(CallFailure::from),
                Err(_) => Err(CallFailure::new(Code::DeadlineExceeded, "the deadline passed")),
            }
        })
    }

    fn instances(&self) -> Vec<InstanceInfo> {
        let manifest = self.plugin.manifest().clone();
        let operations =
            manifest.operations.iter().enumerate().map(|(at, entry)| (entry.name.clone(), at)).collect();
        vec![InstanceInfo { name: "echo".to_owned(), contract: None, manifest, operations }]
    }

    fn plugins(&self) -> Value {
        json!({ "loaded": [{ "name": "echo" }], "refused": [] })
    }

    fn health(&self) -> Vec<Value> {
        vec![json!({ "name": "echo", "state": "ok" })]
    }
}

impl Calls for Echo {
    fn call<'a>(
        &'a self,
        _: &'a str,
        operation: &'a str,
        input: &Value,
        context: Context,
    ) -> BoxFuture<'a, Result<Value, CallFailure>> {
        let call = Host::call(self, "echo", operation, Request::of(input).with_context(context));
        Box::pin(async move { Ok(serde_json::from_slice(call.await?.json()).unwrap()) })
    }

    fn system(&self, _: &str, _: &str) -> Option<String> {
        None
    }

    fn roles(&self) -> Arc<Value> {
        Arc::new(json!({}))
    }
}

struct Services(Handle);

static LOG_OFF: AtomicU32 = AtomicU32::new(0);

impl HostServices for Services {
    fn runtime(&self) -> &Handle {
        &self.0
    }

    fn log_level(&self) -> &AtomicU32 {
        &LOG_OFF
    }

    fn log(&self, _: Level, _: &str, _: Option<Value>) {}
}

/// The example's library, which cargo builds beside the tests, as it is a dependency of theirs.
pub fn library() -> PathBuf {
    let name =
        format!("{}chassis_example_echo{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    std::env::current_exe().unwrap().with_file_name(name)
}

fn plugin() -> Arc<Plugin> {
    static LOADED: OnceLock<Arc<Plugin>> = OnceLock::new();
    let load = || {
        let inspected = chassis_loader::inspect(&library()).unwrap_or_else(|refusal| panic!("{refusal}"));
        let generations_dir = tempfile::tempdir().unwrap().keep();
        let options = LoadOptions { generations_dir, known_contracts: Vec::new() };
        chassis_loader::load(&inspected, &options).unwrap_or_else(|refusal| panic!("{refusal}"))
    };
    LOADED.get_or_init(load).clone()
}
