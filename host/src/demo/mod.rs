//! The demo: the whole main job over real plugins, told step by step. What it claims it reads back from the stores, and it is a
//! success only if every check holds.
//!
//! One file a scene. Each check has a trace of its own: its id stands in the report.

mod act;
mod api;
mod breaker;
mod cache;
mod death;
mod failure;
mod health;
mod messages;
mod other;
mod outage;
mod people;
mod plugins;
mod prepare;
mod report;
mod screen;
mod search;
mod start;
mod stores;
mod users;

pub use other::Other;
pub use outage::Outage;
pub use report::{Check, Report};
pub use screen::Screen;
pub use start::{Options, run};

use crate::edge::Host;
use crate::flow::{Calls, Engine};
use crate::telemetry::Telemetry;
use act::Act;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the demo plays on: a host that has started.
pub struct Stage {
    /// The profile, for the report.
    pub profile: String,
    /// Its instances.
    pub host: Arc<dyn Host>,
    /// Its roles.
    pub calls: Arc<dyn Calls>,
    /// Its flows.
    pub engine: Engine,
    /// Its telemetry, where the traces are drawn from.
    pub telemetry: Telemetry,
    /// Which instance plays which role.
    pub roles: BTreeMap<String, String>,
    /// How long the host took to start.
    pub started_in: Duration,
    /// How a backend is stopped and started.
    pub outage: Outage,
    /// How a second host is started.
    pub other: Other,
}

/// The roles that the flows name.
pub const ROLES: [&str; 6] = ["users", "preferences", "sessions", "messages", "search", "api"];

/// A demo that is being played.
struct Demo {
    stage: Stage,
    screen: Screen,
    report: Report,
    /// The users made so far.
    made: Vec<users::Made>,
}

/// Plays every scene. A scene that others build on ends the demo when it fails.
pub async fn play(stage: Stage, screen: Screen) -> Report {
    let report = Report::new(&stage.profile);
    let mut demo = Demo { stage, screen, report, made: Vec::new() };
    let started = Instant::now();
    demo.scenes().await;
    demo.report.finish(&demo.screen, started.elapsed());
    demo.report
}

impl Demo {
    async fn scenes(&mut self) {
        plugins::play(self).await;
        if !self.report.ok() || !health::play(self).await || !prepare::play(self).await {
            return;
        }
        users::play(self).await;
        if !self.report.ok() {
            return;
        }
        cache::play(self).await;
        search::play(self).await;
        messages::play(self).await;
        api::play(self).await;
        failure::play(self).await;
        if let Some(host) = death::play(self).await {
            breaker::play(self, &host).await;
        }
    }

    /// Does something that is to succeed, below a span of its own; the text is what it found.
    async fn check<T>(
        &mut self,
        name: impl Into<String>,
        work: impl AsyncFnOnce(&Act<'_>) -> Result<(T, String), String>,
    ) -> Option<T> {
        let name = name.into();
        self.screen.begin(&name);
        let act = Act::new(&self.stage, &name);
        let started = Instant::now();
        let result = work(&act).await;
        let ms = started.elapsed().as_secs_f64() * 1e3;
        let trace_id = act.end(result.as_ref().err());
        let (value, ok, told) = match result {
            Ok((value, told)) => (Some(value), true, told),
            Err(reason) => (None, false, reason),
        };
        self.screen.end(ok, &name, &told, ms);
        self.report.add(Check { name, ok, ms, trace_id, told });
        value
    }

    /// Draws the trace of the last check.
    fn draw_last_trace(&self) {
        let Some(id) = self.report.last_trace() else { return };
        if let Some(trace) = self.stage.telemetry.trace(id) {
            self.screen.trace(&trace);
        }
    }
}
