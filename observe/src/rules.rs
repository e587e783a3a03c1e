//! What needs no host: the rules and their tests by promtool, the dashboards by the linter.

use crate::linter;
use crate::stack::{root, tool};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Alerts, by name.
    pub alerts: usize,
    /// What promtool's tests assert: each point in time at which an alert fires, or is silent.
    pub promtool_tests: usize,
    /// Rules of Grafana's linter that the dashboards are held to.
    pub linter_rules: usize,
    /// What they and ours find.
    pub linter_findings: usize,
    /// What is wrong; a line each.
    pub wrong: Vec<String>,
}

/// Runs them.
pub fn run() -> Result<Found> {
    let folder = root().join("prometheus");
    let (rules, tests) = (files(&folder.join("rules"), ".yml")?, files(&folder.join("tests"), ".test.yml")?);
    let mut found = Found::default();
    for arguments in [
        vec!["check", "config", "prometheus.yml"],
        [vec!["check", "rules"], names(&rules)].concat(),
        [vec!["test", "rules"], names(&tests)].concat(),
    ] {
        let output =
            Command::new(tool("CHASSIS_PROMTOOL")?).args(&arguments).current_dir(&folder).output()?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            found.wrong.push(format!(
                "promtool {}:\n{}",
                arguments.join(" "),
                String::from_utf8_lossy(&said)
            ));
        }
    }
    let (mut alerts, mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for file in &rules {
        alerts.extend(values(file, "- alert:")?);
    }
    for file in &tests {
        for (name, fires) in asserted(file)? {
            found.promtool_tests += 1;
            if fires {
                firing.insert(name)
            } else {
                silent.insert(name)
            };
        }
    }
    for name in &alerts {
        for (tested, word) in [(&firing, "fire"), (&silent, "be silent")] {
            if !tested.contains(name) {
                found.wrong.push(format!("no test sees {name} {word}"));
            }
        }
    }
    found.alerts = alerts.len();
    ensure!(found.alerts > 0, "there is no alert in {}", folder.display());
    let (theirs, dashboards) = (linter::grafana(), linter::read(&root().join("grafana/dashboards"))?);
    found.linter_rules = theirs.len();
    let findings = linter::check(&[theirs, linter::house()].concat(), &dashboards);
    found.linter_findings = findings.len();
    found.wrong.extend(findings.iter().map(ToString::to_string));
    Ok(found)
}

fn files(folder: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|path| path.to_string_lossy().ends_with(end));
    files.sort();
    Ok(files)
}

fn names(files: &[PathBuf]) -> Vec<&str> {
    files.iter().filter_map(|path| path.to_str()).collect()
}

/// What follows a key in a file of YAML.
fn values(file: &Path, key: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file)?;
    Ok(text.lines().filter_map(|line| Some(line.trim().strip_prefix(key)?.trim().to_owned())).collect())
}

/// The alerts that a file of tests asserts, each with whether it must fire.
fn asserted(file: &Path) -> Result<Vec<(String, bool)>> {
    let text = std::fs::read_to_string(file)?;
    let mut asserted: Vec<(String, bool)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(at) = line.find("alertname:") {
            let name = line[at + "alertname:".len()..].trim();
            let name = name.split([',', '}']).next().unwrap_or_default().trim().to_owned();
            asserted.push((name, false));
        }
        if let (Some(at), Some(last)) = (line.find("exp_alerts:"), asserted.last_mut()) {
            let alerts = line[at + "exp_alerts:".len()..].trim().trim_end_matches('}').trim();
            last.1 = alerts != "[]";
        }
    }
    Ok(asserted)
}
