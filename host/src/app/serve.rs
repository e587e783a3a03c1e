//! The life of a host that serves: ready, then draining, then gone.

use super::{App, StartError};
use crate::drain::Signals;
use crate::edge::{Edge, Host};
use crate::triggers::Triggers;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

impl App {
    /// The HTTP edge of this host, not yet listening.
    pub fn edge(&self) -> Edge {
        let host: Arc<dyn Host> = self.registry.clone();
        Edge::new(self.config.edge.clone(), host, self.engine.clone(), self.telemetry.clone())
    }

    /// Serves until SIGTERM or SIGINT, then: not ready, calls and runs in flight get `shutdown.drain` to end, instances are
    /// closed, telemetry is sent. A second signal ends the drain at once.
    pub async fn serve(self) -> Result<(), StartError> {
        let mut signals = Signals::listen().map_err(|error| listen("signals", error))?;
        let listener = match Edge::bind(&self.config.edge).await {
            Ok(listener) => listener,
            Err(error) => {
                let address = self.config.edge.listen.clone();
                self.close().await;
                return Err(listen(&address, error));
            }
        };
        let address = listener.local_addr().map_err(|error| listen(&self.config.edge.listen, error))?;
        let edge = self.edge();
        let watch = self.registry.watch();
        let ending = CancellationToken::new();
        let serving = {
            let (edge, ending) = (edge.clone(), ending.clone());
            tokio::spawn(async move { edge.serve(listener, ending.cancelled_owned()).await })
        };
        self.engine.journal().serves(&address.to_string());
        let triggers = Triggers::new(self.engine.clone(), self.registry.clone(), self.telemetry.clone());
        let flows = self.engine.flows();
        triggers.start_up(&flows);
        triggers.follow(&flows);
        let fresh = self.keep_flows_fresh(triggers.clone());
        edge.set_ready(true);
        let ms = self.begun.elapsed().as_millis() as u64;
        tracing::info!(%address, ms, instances = self.registry.instances().count(), "ready");

        let signal = signals.next().await;
        let begun = Instant::now();
        let limit = self.config.shutdown.drain.0;
        tracing::info!(signal, limit_ms = limit.as_millis() as u64, "draining: not ready, no new calls");
        edge.set_ready(false);
        ending.cancel();
        fresh.inspect(JoinHandle::abort);
        let abort = serving.abort_handle();
        let drained = async {
            triggers.end().await;
            let _ = serving.await;
            self.engine.drain().await;
        };
        tokio::select! {
            () = drained => tracing::info!(ms = begun.elapsed().as_millis() as u64, "drained"),
            () = tokio::time::sleep(limit) => tracing::warn!("the drain took too long, calls in flight are cancelled"),
            signal = signals.next() => tracing::warn!(signal, "a second signal, calls in flight are cancelled"),
        }
        abort.abort();
        watch.abort();
        self.close().await;
        Ok(())
    }
}

fn listen(address: &str, error: std::io::Error) -> StartError {
    StartError::Listen { address: address.to_owned(), error }
}
