//! Folders that the host serves itself, so that a profile needs no web server. A file without an extension is JSON, as the
//! files of `api_responses/` are.

use crate::app::StartError;
use crate::config::StaticSettings;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Servers that run.
#[derive(Debug, Default)]
pub struct StaticServers {
    addresses: BTreeMap<String, SocketAddr>,
    tasks: JoinSet<()>,
}

impl StaticServers {
    /// Starts those that the configuration names.
    pub async fn start(settings: &BTreeMap<String, StaticSettings>) -> Result<Self, StartError> {
        let mut servers = Self::default();
        for (name, StaticSettings { listen, dir }) in settings {
            let failed = |error| StartError::Listen { address: listen.clone(), error };
            let listener = TcpListener::bind(listen).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let router = Router::new().fallback(file).with_state(Arc::new(dir.clone()));
            servers.tasks.spawn(async move {
                if let Err(error) = axum::serve(listener, router).await {
                    tracing::warn!(%error, "a static server ended");
                }
            });
            tracing::info!(server = name, %address, dir = %dir.display(), "static server ready");
            servers.addresses.insert(name.clone(), address);
        }
        Ok(servers)
    }

    /// Where each listens.
    pub fn addresses(&self) -> &BTreeMap<String, SocketAddr> {
        &self.addresses
    }

    /// Ends them.
    pub fn stop(mut self) {
        self.tasks.abort_all();
    }
}

async fn file(State(dir): State<Arc<PathBuf>>, method: Method, uri: Uri) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let asked = Path::new(uri.path().trim_start_matches('/'));
    // Names only: nothing outside of the folder is served.
    if !asked.components().all(|part| matches!(part, Component::Normal(_))) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match tokio::fs::read(dir.join(asked)).await {
        Ok(contents) => ([(header::CONTENT_TYPE, content_type(asked))], contents).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

fn content_type(path: &Path) -> HeaderValue {
    HeaderValue::from_static(match path.extension().and_then(|extension| extension.to_str()) {
        None | Some("json") => "application/json",
        Some("html") => "text/html; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some(_) => "application/octet-stream",
    })
}
