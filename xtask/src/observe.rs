//! `cargo xtask observe`: builds, starts the servers, and proves panels, alerts, traces and links on the real Prometheus,
//! Alertmanager and Jaeger.

use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::backends::{self, Tool};
use crate::build;
use crate::place::{root, target};

#[derive(Args, Default)]
#[command(after_help = "\
Parts: rules, runbooks, traces, exemplars, panels, alerts; without one, all.
  cargo xtask observe traces          every shipped flow, its trace read back from Jaeger
  cargo xtask observe exemplars       from a slow call of each plugin to its span
  cargo xtask observe alerts --only queue
  cargo xtask observe --json          everything; the last line is the counts")]
pub struct Options {
    /// Which parts; all, if none is named
    parts: Vec<String>,
    /// Print the counts as JSON in the last line
    #[arg(long)]
    json: bool,
    /// Build with optimisation: slower to begin with, then faster
    #[arg(long)]
    release: bool,
    /// Take what `cargo xtask test` has built a moment ago
    #[arg(long, conflicts_with = "release")]
    built: bool,
    /// Of the faults only those whose name, alert or instance holds this
    #[arg(long)]
    only: Option<String>,
}

impl Options {
    /// All of it, with what the tests have built: cargo alone would build it a second time, with other features.
    pub fn after_tests() -> Self {
        Self { built: true, json: true, ..Self::default() }
    }
}

/// Runs the command; the exit code is the proof's.
pub fn run(options: &Options) -> Result<u8> {
    // What watches is had while the compiler works; the servers too.
    let tools = std::thread::spawn(|| -> Result<Vec<(&'static str, std::path::PathBuf)>> {
        Ok(vec![
            ("CHASSIS_JAEGER", Tool::Jaeger.path()?),
            ("CHASSIS_PROMETHEUS", Tool::Prometheus.path()?),
            ("CHASSIS_PROMTOOL", Tool::Promtool.path()?),
            ("CHASSIS_ALERTMANAGER", Tool::Alertmanager.path()?),
        ])
    });
    let built = match options.built {
        true => build::beside_servers(|| Ok(build::folder(false)))?,
        false => build::beside_servers(|| build::everything(options.release))?,
    };
    let tools = tools.join().map_err(|_| anyhow::anyhow!("getting the tools panicked"))??;
    let folder = target().join(if options.release { "release" } else { "debug" });
    let proof = folder.join("chassis-observe");
    let mut command = Command::new(&proof);
    command.args(&options.parts).args(options.only.iter().flat_map(|only| ["--only", only]));
    if options.json {
        command.arg("--json");
    }
    command.current_dir(root()).env("CHASSIS_PLUGINS_DIR", built).env("CHASSIS_HOST", folder.join("chassis"));
    command.envs(backends::environment()?).envs(backends::process_ids()?).envs(tools);
    let status = command.status().with_context(|| format!("cannot run {}", proof.display()))?;
    // Killed by a signal is no success either.
    Ok(status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1)))
}
