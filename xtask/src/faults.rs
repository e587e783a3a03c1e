//! `cargo xtask faults`: builds, starts the servers that are needed, and breaks create-user in every way.

use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::backends;
use crate::build;
use crate::place::{root, target};

#[derive(Args)]
#[command(after_help = "\
Parts: matrix-embedded, matrix-real, schedules, journal, random, network; without one, all.
  cargo xtask faults matrix-embedded            needs no server; about a minute
  cargo xtask faults schedules --seed 4711      one schedule again, as it failed
  cargo xtask faults matrix-embedded --without-undo   shows that the proof can fail
  cargo xtask faults --json                     everything; the last line is the counts")]
pub struct Options {
    /// Which parts; all, if none is named
    parts: Vec<String>,
    /// The seed of everything that is left to chance
    #[arg(long)]
    seed: Option<u64>,
    /// Take the undo out of the flow: then the proof must fail, and say which users are orphans
    #[arg(long)]
    without_undo: bool,
    /// Print the counts as JSON in the last line
    #[arg(long)]
    json: bool,
    /// Build with optimisation: slower to begin with, then faster
    #[arg(long)]
    release: bool,
    /// Anything else, such as --schedules N and --kills N
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Runs the command; the exit code is the proof's.
pub fn run(options: &Options) -> Result<u8> {
    let named = |names: &[&str]| {
        options.parts.is_empty() || options.parts.iter().any(|part| names.contains(&part.as_str()))
    };
    let real = named(&["matrix-real", "journal", "random", "network"]);
    let built = if real {
        build::beside_servers(|| build::everything(options.release))?
    } else {
        let embedded = build::chosen(&["embedded".to_owned()])?;
        build::build_with(&embedded, &["chassis", "chassis-faults"], options.release)?
    };
    // What was just built, not by `cargo run`: with other packages beside it, that would build all of it a second time.
    let folder = target().join(if options.release { "release" } else { "debug" });
    let proof = folder.join("chassis-faults");
    let mut command = Command::new(&proof);
    command.args(&options.parts).args(&options.rest);
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if options.without_undo {
        command.arg("--without-undo");
    }
    if options.json {
        command.arg("--json");
    }
    command.current_dir(root()).env("CHASSIS_PLUGINS_DIR", built).env("CHASSIS_HOST", folder.join("chassis"));
    if real {
        command.envs(backends::environment()?).envs(backends::process_ids()?);
    }
    if named(&["network"]) {
        command.env("CHASSIS_TOXIPROXY", backends::toxiproxy()?);
    }
    let status = command.status().with_context(|| format!("cannot run {}", proof.display()))?;
    // Killed by a signal is no success either.
    Ok(status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1)))
}
