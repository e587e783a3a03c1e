//! `cargo xtask bench`: builds with optimisation and measures.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::backends;
use crate::build;
use crate::cargo::cargo;
use crate::place::{self, on_path, root, target};

#[derive(Args)]
pub struct Options {
    /// What to measure: `boundary`, `flows`, `policies` or `telemetry`
    name: String,
    /// Print the numbers as JSON in the last line
    #[arg(long)]
    json: bool,
}

/// Runs the command; the exit code is the benchmark's.
pub fn run(options: &Options) -> Result<u8> {
    let known = cargo(&["pkgid", "-p", "chassis-bench"]).output()?;
    if !known.status.success() {
        bail!("there is no package `chassis-bench` in this checkout, so there is nothing to measure with");
    }
    if on_path("wrk").is_none() {
        backends::packages(&["wrk"], &place::backends().join("apt.log"));
    }
    // Nothing is started that is not measured.
    let wanted: Vec<String> = match options.name.as_str() {
        "telemetry" => ["redis"].map(String::from).into(),
        "policies" => ["postgres", "mongodb", "elasticsearch"].map(String::from).into(),
        _ => Vec::new(),
    };
    let outcomes = backends::start(&backends::chosen(&wanted)?)?;
    if outcomes.iter().any(|outcome| !outcome.runs()) {
        bail!("the benchmarks need the real servers; the one above says what it lacks");
    }
    let folder = build::everything(true)?;
    let mut command = Command::new(target().join("release/chassis-bench"));
    command.arg(&options.name);
    if options.json {
        command.arg("--json");
    }
    command.current_dir(root()).env("CHASSIS_PLUGINS_DIR", folder).envs(backends::environment()?);
    let status = command.status()?;
    Ok(status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1)))
}
