//! The HTTP edge: operations and flows as routes, and what the host says of itself.
//!
//! A request's way: `server` accepts it, `observe` gives it a span and its answer the trace's id, `call` or another route
//! answers, and whatever fails becomes a [`Problem`].

mod body;
mod call;
mod context;
pub mod docs;
mod faults;
mod flows;
mod health;
mod host;
mod inspect;
mod log;
mod name;
mod observe;
pub mod openapi;
mod problem;
mod registry;
mod runs;
mod server;
mod settings;
mod stream;
mod triggered;
mod upload;

pub use call::{INPUT, OUTPUT};
pub use context::{IDEMPOTENCY_KEY, REQUEST_TIMEOUT, TENANT};
pub use host::{Host, InstanceInfo, Shape};
pub use inspect::only_looks;
pub use observe::{TRACE_ID, TRACE_RESPONSE};
pub use problem::Problem;
pub use settings::Settings;

use crate::flow::Engine;
use crate::telemetry::{Route, Telemetry};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::routing::{MethodRouter, delete, get, post};
use chassis_abi::Code;
use openapi::{FlowDescription, InstanceDescription};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The edge of a host. Cheap to clone.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

struct Inner {
    settings: Settings,
    host: Arc<dyn Host>,
    engine: Engine,
    telemetry: Telemetry,
    /// The call's own, so that no look-up is on its way.
    call_route: Arc<Route>,
    routes: Vec<(&'static str, Arc<Route>)>,
    no_route: Arc<Route>,
    /// Those of flows' own paths, made when each is asked for first.
    triggered: Mutex<HashMap<String, Arc<Route>>>,
    ready: AtomicBool,
    /// Ends answered streams that would hold up the host's end.
    cut: CancellationToken,
}

impl Edge {
    /// An edge over `host`. It is not ready until [`Edge::set_ready`] says so, and serves nothing until [`Edge::serve`].
    pub fn new(settings: Settings, host: Arc<dyn Host>, engine: Engine, telemetry: Telemetry) -> Self {
        let routes =
            routes().into_iter().map(|(template, _)| (template, telemetry.route(Some(template)))).collect();
        Self(Arc::new(Inner {
            settings,
            host,
            engine,
            call_route: telemetry.route(Some(call::ROUTE)),
            routes,
            no_route: telemetry.route(None),
            triggered: Mutex::default(),
            telemetry,
            ready: AtomicBool::new(false),
            cut: CancellationToken::new(),
        }))
    }

    /// Takes the address of the settings.
    pub async fn bind(settings: &Settings) -> io::Result<TcpListener> {
        TcpListener::bind(&settings.listen).await
    }

    /// What `/health/ready` answers.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Relaxed);
    }

    /// Serves until `shutdown`, then refuses new connections and returns when every request under way is answered. Answered
    /// streams are ended after `stream_grace`. Dropping the future cancels what is left.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let grace = self.0.settings.stream_grace.0;
        let ending = CancellationToken::new();
        let cutting = async {
            ending.cancelled().await;
            tokio::time::sleep(grace).await;
            self.0.cut.cancel();
            std::future::pending::<()>().await;
        };
        let shutdown = async {
            shutdown.await;
            self.set_ready(false);
            ending.cancel();
        };
        tokio::select! {
            () = server::serve(listener, self.router(), self.turned_away(), &self.0.settings, shutdown) => {}
            () = cutting => {}
        }
    }

    /// All routes.
    pub fn router(&self) -> Router {
        let mut router = Router::new();
        for (template, route) in routes() {
            router = router.route(template, route);
        }
        router
            .fallback(triggered::request)
            .method_not_allowed_fallback(inspect::wrong_method)
            .layer(axum::middleware::from_fn_with_state(self.clone(), observe::layer))
            // After the layer, which is not for this one.
            .route(call::ROUTE, post(call::call).fallback(call::wrong_method))
            .with_state(self.clone())
    }

    fn turned_away(&self) -> Router {
        let limit = self.0.settings.connection_limit;
        let answer = move || async move {
            Problem::new(
                Code::Unavailable,
                format!("all {limit} connections are taken (edge.connection_limit)"),
            )
            .retry_after(Duration::from_secs(1))
            .header(header::CONNECTION, HeaderValue::from_static("close"))
        };
        Router::new()
            .fallback(answer)
            .layer(axum::middleware::from_fn_with_state(self.clone(), observe::layer))
    }

    /// The description of everything that can be called here (OpenAPI 3.1).
    pub fn description(&self) -> Value {
        let instances = self.0.host.instances();
        let instances: Vec<_> = instances
            .iter()
            .map(|instance| InstanceDescription {
                name: &instance.name,
                manifest: &instance.manifest,
                operations: instance.operations().map(|(name, entry)| (name.to_owned(), entry)).collect(),
            })
            .collect();
        let flows = self.0.engine.flows();
        let flows: Vec<_> = flows
            .iter()
            .map(|flow| FlowDescription {
                name: &flow.name,
                description: &flow.description,
                input: flow.input.json_schema(),
                triggers: &flow.triggers,
            })
            .collect();
        openapi::document(&instances, &flows)
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn host(&self) -> &Arc<dyn Host> {
        &self.0.host
    }

    fn engine(&self) -> &Engine {
        &self.0.engine
    }

    fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Relaxed)
    }

    fn route(&self, template: Option<&str>) -> Arc<Route> {
        let Some(template) = template else { return self.0.no_route.clone() };
        if template == call::ROUTE {
            return self.0.call_route.clone();
        }
        if let Some((_, route)) = self.0.routes.iter().find(|(route, _)| *route == template) {
            return route.clone();
        }
        let mut triggered = self.0.triggered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = triggered.get(template) {
            return route.clone();
        }
        let route = self.telemetry().route(Some(template));
        triggered.insert(template.to_owned(), route.clone());
        route
    }
}

/// Whether a path is below what the edge answers itself.
pub fn takes(path: &str) -> bool {
    let first = |path: &str| path.split('/').nth(1).unwrap_or_default().to_owned();
    routes().iter().any(|(template, _)| first(template) == first(path))
}

/// A body of JSON, as what it is meant to be; whatever does not fit is told with its field.
async fn read_json<T: DeserializeOwned>(edge: &Edge, body: Body) -> Result<T, Problem> {
    let settings = edge.settings();
    let bytes = body::read(body, settings.body_limit.bytes(), settings.body_timeout.0).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::invalid("body", error.to_string()))
}

/// Every route but the one of calls.
fn routes() -> Vec<(&'static str, MethodRouter<Edge>)> {
    vec![
        ("/", get(inspect::root)),
        ("/v1/flows/{flow}", post(flows::run)),
        ("/v1/flows", get(flows::list)),
        ("/v1/runs", get(runs::list)),
        ("/v1/runs/{id}", get(runs::show)),
        ("/v1/runs/{id}/resume", post(runs::resume)),
        ("/v1/runs/{id}/skip", post(runs::skip)),
        ("/v1/runs/{id}/cancel", post(runs::cancel)),
        ("/v1/faults", get(faults::list).post(faults::set).delete(faults::clear_all)),
        ("/v1/faults/{name}", delete(faults::clear)),
        ("/v1/log", get(log::show).put(log::set)),
        ("/v1/plugins", get(inspect::plugins)),
        ("/v1/instances", get(inspect::instances)),
        ("/v1/traces", get(inspect::traces)),
        ("/v1/traces/{id}", get(inspect::trace)),
        ("/health", get(health::report)),
        ("/health/live", get(health::live)),
        ("/health/ready", get(health::ready)),
        ("/metrics", get(inspect::metrics)),
        ("/openapi.json", get(inspect::openapi)),
        ("/docs", get(inspect::page)),
    ]
}
