//! `chassis health`

use super::client::At;
use super::{Exit, Global, exit, table};
use crate::app::App;
use crate::edge::Host;
use crate::registry::State;
use clap::Args;
use hyper::Method;
use serde_json::json;
use std::process::ExitCode;

/// Ask every instance how it is; exit code 4 unless all are well
#[derive(Debug, Args)]
pub struct Health {
    /// Ask the host that runs whether it takes calls, and no instance: what a container's health check wants to know
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    at: At,
}

impl Health {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        if self.ready {
            let answer = self
                .at
                .ask_host(global, Method::GET, "/health/ready", None, |answer| answer["status"] == "ready")
                .await?;
            let status = answer["status"].as_str().unwrap_or_default().to_owned();
            println!("{}", if global.json { answer.to_string() } else { status });
            return Ok(ExitCode::SUCCESS);
        }
        let mut config = global.load_quiet()?;
        config.without_journal();
        let app = App::start(config).await?;
        app.registry.check().await;
        let well = app.registry.instances().all(|instance| instance.status().state == State::Ok);
        if global.json {
            let host: &dyn Host = &*app.registry;
            println!("{}", json!({ "ok": well, "instances": host.health() }));
        } else {
            let rows = app.registry.instances().map(|instance| {
                let status = instance.status();
                let error = status.last_error.as_ref().filter(|_| status.state != State::Ok);
                [
                    instance.name().to_owned(),
                    instance.manifest().name.clone(),
                    status.state.as_str().to_owned(),
                    status.version.clone().unwrap_or_default(),
                    status.latency_ms.map(|ms| format!("{ms:.1} ms")).unwrap_or_default(),
                    error.map(|error| format!("{}: {}", error.code, error.message)).unwrap_or_default(),
                ]
            });
            table::print(["instance", "plugin", "state", "version", "latency", "why"], rows);
        }
        app.stop().await;
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(exit::UNAVAILABLE) })
    }
}
