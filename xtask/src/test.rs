//! `cargo xtask test`: everything, or one plugin, against the real servers.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use clap::Args;

use crate::backends::{self, Standing};
use crate::build::{self, Plugin};
use crate::cargo::{Artifact, artifacts, cargo};
use crate::place::root;
use crate::results::{Results, Skip};
use crate::ui::{say, took};

#[derive(Args, Default)]
pub struct Options {
    /// One plugin, by its folder's name, and only its server; without it everything is tested
    plugin: Option<String>,
    /// Leave servers running that were started for the tests
    #[arg(long)]
    keep: bool,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<u8> {
    let begin = Instant::now();
    let names: Vec<String> = options.plugin.iter().cloned().collect();
    let plugins = build::chosen(&names)?;
    let selection: Vec<&str> =
        if names.is_empty() { vec!["--workspace"] } else { vec!["-p", plugins[0].package.as_str()] };

    // The servers start while the compiler works.
    let servers = std::thread::spawn({
        let needed = options.plugin.as_deref().map_or_else(|| backends::chosen(&[]), needed_by)?;
        move || Servers::start(&needed)
    });
    let built = artifacts(&[&["test", "--no-run"], selection.as_slice()].concat());
    let servers = servers.join().map_err(|_| anyhow!("starting the servers panicked"))??;
    let built = match built {
        Ok(built) => built,
        Err(error) => {
            servers.end(options.keep)?;
            return Err(error);
        }
    };
    let results = install(&plugins, &built).and_then(|()| test(&selection, &built));
    servers.end(options.keep)?;
    report(&results?, begin)
}

fn needed_by(plugin: &str) -> Result<Vec<&'static dyn backends::Backend>> {
    let names = backends::names_for(plugin);
    if names.is_empty() { Ok(Vec::new()) } else { backends::chosen(&names) }
}

/// The servers that were started for these tests; others were there before and stay.
struct Servers {
    started: Vec<String>,
    none_ran: bool,
}

impl Servers {
    fn start(needed: &[&'static dyn backends::Backend]) -> Result<Servers> {
        let none_ran = backends::running()?.is_empty();
        if needed.is_empty() {
            return Ok(Servers { started: Vec::new(), none_ran });
        }
        let outcomes = backends::start(needed)?;
        let started = outcomes.iter().filter(|outcome| outcome.standing == Standing::Started);
        Ok(Servers { started: started.map(|outcome| outcome.name.to_owned()).collect(), none_ran })
    }

    fn end(&self, keep: bool) -> Result<()> {
        match (self.started.is_empty() || keep, self.none_ran) {
            (true, _) => Ok(()),
            (false, true) => backends::stop_all(),
            (false, false) => backends::stop(&backends::chosen(&self.started)?),
        }
    }
}

/// Puts the plugins where hosts under test look for them.
fn install(plugins: &[Plugin], built: &[Artifact]) -> Result<()> {
    build::install(plugins, built, &build::folder(false))?;
    // A plugin without integration tests is no library in a test build.
    let rest: Vec<Plugin> =
        plugins.iter().filter(|plugin| build::library(plugin, built).is_none()).cloned().collect();
    if rest.is_empty() { Ok(()) } else { build::build(&rest, false).map(drop) }
}

fn test(selection: &[&str], built: &[Artifact]) -> Result<Results> {
    let packages: HashMap<String, String> = built
        .iter()
        .filter_map(|artifact| {
            let file = artifact.executable.as_ref()?.file_name()?.to_string_lossy().into_owned();
            Some((file, artifact.package.clone()))
        })
        .collect();
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let mut command = cargo(&[&["test", "--no-fail-fast"], selection, &["--", "--show-output"]].concat());
    // One pipe for both, so that cargo's headings stay above the lines of their tests.
    command.stdout(writer.try_clone()?).stderr(writer);
    command.env("CHASSIS_PLUGINS_DIR", build::folder(false)).envs(backends::environment()?);
    let mut child = command.spawn().context("cannot run cargo")?;
    drop(command);
    let mut results = Results::new(packages);
    let mut screen = Screen::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if results.line(&line) {
            screen.show(line);
        }
    }
    results.finish();
    if !child.wait()?.success() && results.failed.is_empty() {
        results.failed.push("cargo test: failed without naming a test; the reason stands above".to_owned());
    }
    Ok(results)
}

/// Leaves out executables without a test, of which there are many.
#[derive(Default)]
struct Screen {
    /// A heading, until it is known whether tests follow.
    heading: Option<String>,
    empty: bool,
}

impl Screen {
    fn show(&mut self, line: String) {
        let text = line.trim();
        if text.starts_with("Running ") || text.starts_with("Doc-tests ") {
            self.heading = Some(line);
            self.empty = false;
        } else if text == "running 0 tests" {
            self.heading = None;
            self.empty = true;
        } else if !self.empty && (self.heading.is_none() || !text.is_empty()) {
            if let Some(heading) = self.heading.take() {
                println!("{heading}");
            }
            println!("{line}");
        }
    }
}

/// Says what failed and what was skipped; the last line is the count.
fn report(results: &Results, begin: Instant) -> Result<u8> {
    println!();
    for failed in &results.failed {
        println!("failed: {failed}");
    }
    for skip in &results.skipped {
        println!("skipped: {}: {}", skip.name, skip.why);
    }
    let mut code = u8::from(!results.failed.is_empty());
    if std::env::var_os("CI").is_some_and(|value| value == "true") {
        let announced = std::fs::read_to_string(root().join(".ci/skips")).unwrap_or_default();
        for skip in unannounced(&results.skipped, &announced) {
            say("test", &format!("`{}` was skipped, and .ci/skips does not announce it", skip.name));
            code = 1;
        }
    }
    let (passed, failed, skipped) = (results.passed, results.failed.len(), results.skipped.len());
    println!("{passed} passed, {failed} failed, {skipped} skipped in {}", took(begin.elapsed()));
    Ok(code)
}

/// The skips that no line `NAME: why` of the file announces.
fn unannounced<'a>(skips: &'a [Skip], announced: &str) -> Vec<&'a Skip> {
    let names: Vec<&str> =
        announced.lines().filter_map(|line| Some(line.split_once(": ")?.0.trim())).collect();
    skips.iter().filter(|skip| !names.contains(&skip.name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_must_be_announced_by_its_whole_name() {
        let skip = |name: &str| Skip { name: name.into(), why: "so".into() };
        let skips = [skip("search::english"), skip("search::eng")];
        let left = unannounced(&skips, "# why not\nsearch::english: no such analyzer\n");
        assert_eq!(left, [&skips[1]]);
    }
}
