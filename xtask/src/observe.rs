//! `cargo xtask observe`: builds, starts the servers, and proves panels, alerts, traces and links on the real Prometheus,
//! Alertmanager and Jaeger.

use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::backends::{self, Tool};
use crate::build;
use crate::place::{root, target};

#[derive(Args)]
#[command(after_help = "\
Parts: traces, exemplars, panels, alerts; without one, all.
  cargo xtask observe traces          every shipped flow, its trace read back from Jaeger
  cargo xtask observe exemplars       from a slow call of each plugin to its span
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
    /// Anything else
    #[arg(last = true)]
    rest: Vec<String>,
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
    let built = build::everything_beside_servers(options.release)?;
    let tools = tools.join().map_err(|_| anyhow::anyhow!("getting the tools panicked"))??;
    let folder = target().join(if options.release { "release" } else { "debug" });
    let proof = folder.join("chassis-observe");
    let mut command = Command::new(&proof);
    command.args(&options.parts).args(&options.rest);
    if options.json {
        command.arg("--json");
    }
    command.current_dir(root()).env("CHASSIS_PLUGINS_DIR", built).env("CHASSIS_HOST", folder.join("chassis"));
    command.envs(backends::environment()?).envs(backends::process_ids()?).envs(tools);
    let status = command.status().with_context(|| format!("cannot run {}", proof.display()))?;
    // Killed by a signal is no success either.
    Ok(status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1)))
}
