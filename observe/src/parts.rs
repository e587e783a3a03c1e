//! Which parts are run, and what they come to.

use crate::{alerts, exemplars, panels, rules, runbooks, traces};
use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use std::time::Instant;

/// Prove panels, alerts, traces and links against the real Prometheus, Alertmanager and Jaeger
///
/// Ends with 0 if nothing is wrong. With --json, the last line of the output is the counts.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask observe", bin_name = "cargo xtask observe")]
pub struct Options {
    /// What to run; all, if nothing is named
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// The counts as one line of JSON
    #[arg(long)]
    json: bool,
    /// Of the faults only those whose name, alert or instance holds this
    #[arg(long)]
    only: Option<String>,
}

/// A part of the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Rules and their tests by promtool, dashboards by the rules of Grafana's linter and ours
    Rules,
    /// The runbooks' own commands
    Runbooks,
    /// Every shipped flow's trace, read back from Jaeger, and Service Performance Monitoring
    Traces,
    /// From a slow call of each plugin to its span
    Exemplars,
    /// Every query of every panel after two minutes of load
    Panels,
    /// Every fault, and whether exactly its own alert is told
    Alerts,
}

/// What the parts found.
#[derive(Debug, Default)]
pub struct Counts {
    /// The line's members.
    members: Map<String, Value>,
    /// What is wrong; a line each.
    wrong: Vec<String>,
}

impl Counts {
    /// A member of the line.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.members.insert(name.to_owned(), value.into());
    }

    /// What is wrong.
    pub fn wrong(&mut self, lines: impl IntoIterator<Item = String>) {
        self.wrong.extend(lines);
    }
}

/// Runs them.
pub fn run(options: &Options) -> Result<ExitCode> {
    chassis_faults::parts::provide();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let counts = runtime.block_on(all(options))?;
    for line in &counts.wrong {
        eprintln!("WRONG: {line}");
    }
    let line = Value::Object(counts.members);
    if options.json {
        println!("{line}");
    } else {
        let members = line.as_object().into_iter().flatten();
        println!("{}", members.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", "));
    }
    Ok(ExitCode::from(u8::from(!counts.wrong.is_empty())))
}

async fn all(options: &Options) -> Result<Counts> {
    let mut counts = Counts::default();
    let parts: &[Part] = if options.parts.is_empty() { Part::value_variants() } else { &options.parts };
    for part in parts {
        let begun = Instant::now();
        eprintln!("{part:?} …");
        one(*part, options, &mut counts).await.with_context(|| format!("{part:?}"))?;
        eprintln!("{part:?}: done in {:.0} s", begun.elapsed().as_secs_f64());
    }
    Ok(counts)
}

async fn one(part: Part, options: &Options, counts: &mut Counts) -> Result<()> {
    match part {
        Part::Rules => {
            let found = rules::run()?;
            counts.set("alerts", found.alerts);
            counts.set("promtool_tests", found.promtool_tests);
            counts.set("linter_rules", found.linter_rules);
            counts.set("linter_findings", found.linter_findings);
            counts.wrong(found.wrong);
        }
        Part::Runbooks => {
            let found = runbooks::run().await?;
            counts.set("runbook_commands", found.commands);
            counts.wrong(found.wrong);
        }
        Part::Traces => {
            let found = traces::run().await?;
            counts.set("traces_checked", found.traces);
            counts.set("trace_defects", found.defects.len());
            counts.set("spm_instances", found.spm_instances);
            counts.wrong(found.defects);
        }
        Part::Exemplars => {
            let (hops, lost) = exemplars::run().await?;
            counts.set("exemplar_hops", json!(hops));
            counts.wrong(lost);
        }
        Part::Panels => {
            let found = panels::run().await?;
            counts.set("panels", found.panels);
            counts.set("panels_with_data", found.with_data);
            counts.wrong(found.empty);
        }
        Part::Alerts => {
            let found = alerts::run(options.only.as_deref()).await?;
            counts.set("faults", found.faults);
            counts.set("faults_alerting_exactly_their_own", found.exact);
            counts.wrong(found.wrong);
        }
    }
    Ok(())
}
