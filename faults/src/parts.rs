//! Which parts are run, and what they come to.

use crate::report::{Counts, Report, Tally};
use crate::site::{self, Servers};
use crate::{journal_kills, matrix, network, random_kills, schedules};
use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use std::process::ExitCode;
use std::time::Instant;

/// Break create-user in every way, then read all five stores directly
///
/// Ends with 0 if each user is in all five stores or in none. The last line of the output is the counts.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask faults", bin_name = "cargo xtask faults")]
pub struct Options {
    /// What to run; all, if nothing is named
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// The seed of everything that is left to chance; of a schedule that failed, only that one is run again
    #[arg(long)]
    seed: Option<u64>,
    /// The counts as one line of JSON
    #[arg(long)]
    json: bool,
    /// Take the undo out of the flow: then the proof must fail, and say which users are orphans
    #[arg(long)]
    without_undo: bool,
    /// How many random schedules
    #[arg(long, default_value_t = 10_000)]
    schedules: usize,
    /// How many kills at random moments
    #[arg(long, default_value_t = random_kills::KILLS)]
    kills: usize,
}

/// A part of the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// 5 steps x 5 faults x 2 ways, on embedded stores
    MatrixEmbedded,
    /// The same on the real servers
    MatrixReal,
    /// Random faults and deaths over interleaved runs, simulated
    Schedules,
    /// The host killed at every write of its journal
    Journal,
    /// Kills at random moments under load, two hosts
    Random,
    /// Bad networks and servers that stand still
    Network,
}

/// Runs them.
pub fn run(options: &Options) -> Result<ExitCode> {
    provide();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let counts = runtime.block_on(all(options))?;
    let line = counts.line();
    if options.json {
        println!("{line}");
    } else {
        let members = line.as_object().into_iter().flatten();
        println!("{}", members.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", "));
    }
    Ok(ExitCode::from(u8::from(!counts.sum.clean())))
}

/// reqwest is built without a provider of cryptography, and does not start without one. To be called once, before all else.
pub fn provide() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

async fn all(options: &Options) -> Result<Counts> {
    let report = Report { quiet: false };
    let mut counts = Counts::default();
    let parts: &[Part] = if options.parts.is_empty() { Part::value_variants() } else { &options.parts };
    for part in parts {
        let begun = Instant::now();
        let tally = one(*part, options, &report, &mut counts).await.with_context(|| format!("{part:?}"))?;
        counts.sum.add(&tally);
        report.progress(&format!("{part:?}: done in {:.0} s: {tally:?}", begun.elapsed().as_secs_f64()));
    }
    Ok(counts)
}

async fn one(part: Part, options: &Options, report: &Report, counts: &mut Counts) -> Result<Tally> {
    let plain = site::Options { without_undo: options.without_undo, ..site::Options::default() };
    let seed = options.seed.unwrap_or(1);
    Ok(match part {
        Part::MatrixEmbedded | Part::MatrixReal => {
            let servers = if part == Part::MatrixReal { Servers::Real } else { Servers::Embedded };
            let tally = matrix::run(servers, matrix::CELLS, &plain, report).await?;
            counts.matrix += tally.cells;
            tally
        }
        Part::Schedules => {
            // A seed that is named is that of one schedule which failed.
            let count = if options.seed.is_some() { 1 } else { options.schedules };
            let tally = schedules::run(seed, count, !options.without_undo, report)?;
            counts.schedules += tally.cells;
            tally
        }
        Part::Journal => {
            let mut tally = journal_kills::run(Servers::Embedded, &plain, report).await?;
            tally.add(&journal_kills::run(Servers::Real, &plain, report).await?);
            counts.journal_kills += tally.cells;
            tally
        }
        Part::Random => {
            let tally = random_kills::run(options.kills, seed, &plain, report).await?;
            counts.random_kills += tally.cells;
            tally
        }
        Part::Network => {
            let tally = network::run(&plain, report).await?;
            counts.network += tally.cells;
            tally
        }
    })
}
