//! What the demo found out.

use super::Screen;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Everything that was checked.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    ok: bool,
    profile: String,
    plugins: Vec<Value>,
    checks: Vec<Check>,
}

/// One thing that was checked.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What must hold.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// How long that took to find out, in milliseconds.
    pub ms: f64,
    /// Its trace.
    pub trace_id: String,
    /// What was found.
    pub told: String,
}

impl Report {
    /// A report without a check: not a success.
    pub(super) fn new(profile: &str) -> Self {
        Self { ok: false, profile: profile.to_owned(), plugins: Vec::new(), checks: Vec::new() }
    }

    /// Whether something was checked and everything holds.
    pub fn ok(&self) -> bool {
        self.ok
    }

    /// As one line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|error| json!({ "ok": false, "error": error.to_string() }).to_string())
    }

    /// The checks.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    pub(super) fn add(&mut self, check: Check) {
        self.checks.push(check);
        self.ok = self.checks.iter().all(|check| check.ok);
    }

    pub(super) fn add_plugins(&mut self, plugins: Vec<Value>) {
        self.plugins = plugins;
    }

    pub(super) fn last_trace(&self) -> Option<&str> {
        self.checks.last().map(|check| check.trace_id.as_str())
    }

    /// Shows the summary.
    pub(super) fn finish(&self, screen: &Screen, elapsed: Duration) {
        screen.title("Summary");
        let width = self.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        for check in &self.checks {
            let mark = screen.mark(check.ok);
            screen.line(&format!("{mark} {:width$}  {:>9.1} ms  {}", check.name, check.ms, check.trace_id));
        }
        let failed = self.checks.iter().filter(|check| !check.ok).count();
        let verdict = match failed {
            0 => format!("all {} checks hold", self.checks.len()),
            _ => format!("{failed} of {} checks do not hold", self.checks.len()),
        };
        screen.line("");
        screen.line(&format!("{} {verdict}, {:.1} s", screen.mark(self.ok), elapsed.as_secs_f64()));
    }
}
