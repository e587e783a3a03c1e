//! A host from start to stop: what is made in which order, and how it ends.

mod reload;
mod serve;

use crate::config::{Config, Problems};
use crate::flow::check::{World, check_all};
use crate::flow::set::FlowErrors;
use crate::flow::trace::Spans;
use crate::flow::{Calls, Engine, FlowSet};
use crate::journal::{Journal, OpenError};
use crate::registry::Registry;
use crate::static_server::StaticServers;
use crate::telemetry::{self, Telemetry};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A host that has started.
pub struct App {
    /// Its settings.
    pub config: Config,
    /// Its traces, metrics and logs.
    pub telemetry: Telemetry,
    /// Everything that can be called.
    pub registry: Arc<Registry>,
    /// Runs the flows.
    pub engine: Engine,
    spans: Spans,
    statics: StaticServers,
    begun: Instant,
    started_in: Duration,
}

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] Problems),
    /// A flow is wrong.
    #[error("{0}")]
    Flows(#[from] FlowErrors),
    /// Traces, metrics or logs cannot be made.
    #[error("telemetry does not start: {0}")]
    Telemetry(#[from] telemetry::StartError),
    /// The journal cannot be opened.
    #[error("{0}")]
    Journal(#[from] OpenError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        error: std::io::Error,
    },
}

/// How long an instance may take to close.
const CLOSE: Duration = Duration::from_secs(5);

impl App {
    /// Starts everything but the edge. Wants to be called on a runtime with I/O and time.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let begun = Instant::now();
        let telemetry = Telemetry::start(&config.telemetry)?;
        let (version, plugins_dir) = (env!("CARGO_PKG_VERSION"), config.plugins_dir.display());
        tracing::info!(version, config = config.name, %plugins_dir, "chassis starts");
        // Before the plugins, so that a wrong flow is told at once; it needs nothing of them.
        let flows = FlowSet::load(&config.flows_dir)?;
        let journal = Journal::open(&config.journal).await?;
        journal.measure(telemetry.metrics().journal());
        let statics = StaticServers::start(&config.statics).await?;
        let registry = Arc::new(Registry::start(&config, &telemetry, statics.addresses()).await?);
        report_in_flight(&telemetry, &registry);
        let spans = Spans::new(&telemetry, &flows);
        tracing::info!(flows = flows.iter().count(), "flows ready");
        let wrong = check_all(&World::new(&config, registry.plugins()), &flows).err();
        for problem in wrong.iter().flat_map(|wrong| &wrong.0) {
            tracing::warn!(%problem, "a flow that will fail where it comes to this");
        }
        if registry.faults().enabled() {
            journal.observe(registry.faults().clone());
        }
        let calls: Arc<dyn Calls> = registry.clone();
        let engine = Engine::with_journal(flows, calls, spans.clone(), journal);
        let unfinished = engine.recover().await.map_err(OpenError::from)?;
        let store = engine.journal().store().kind();
        tracing::info!(store, unfinished, "journal ready");
        engine.keep_up(config.journal.keep.0);
        Ok(Self { config, telemetry, registry, engine, spans, statics, begun, started_in: begun.elapsed() })
    }

    /// How long the start took.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Ends everything: runs under way go to their end, instances are closed, and telemetry is sent.
    pub async fn stop(self) {
        let drain = self.config.shutdown.drain.0;
        if tokio::time::timeout(drain, self.engine.drain()).await.is_err() {
            tracing::warn!(
                running = self.engine.running(),
                "runs did not end in time: the next start goes on with them"
            );
        }
        self.close().await;
    }

    async fn close(self) {
        self.engine.abandon();
        self.engine.journal().close().await;
        self.registry.close(CLOSE).await;
        self.statics.stop();
        self.telemetry.shutdown().await;
        self.registry.plugins().remove_copies();
    }
}

/// Sets `chassis_bulkhead_in_flight` and `chassis_breaker_state` whenever the metrics are read: counting each call up and down would cost every call.
fn report_in_flight(telemetry: &Telemetry, registry: &Arc<Registry>) {
    let registry = Arc::downgrade(registry);
    telemetry.at_scrape(move |metrics| {
        let Some(registry) = registry.upgrade() else { return false };
        let now = tokio::time::Instant::now();
        for instance in registry.instances() {
            metrics.bulkhead_in_flight(instance.name()).set(instance.bulkhead().in_flight() as f64);
            for breaker in instance.breakers() {
                let state = breaker.shown(now).state;
                metrics.breaker_state(breaker.name()).set(f64::from(state as u8));
            }
        }
        true
    });
}
