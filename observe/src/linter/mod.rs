//! What is wrong with a dashboard, by rules that have names: the seventeen of [Grafana's dashboard-linter](https://github.com/grafana/dashboard-linter),
//! and ours.
//!
//! Theirs have their names and find at least what the original finds. Where the original lets something pass by accident (a counter with
//! any matcher, an empty list of mappings, a kind of panel that it does not know), ours does not.

mod fill;
mod house;
mod logql;
pub mod model;
mod panels;
pub mod promql;
mod targets;
mod templates;
#[cfg(test)]
mod testing;
mod units;

pub use fill::fill;

use anyhow::Result;
use model::Dashboard;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// A rule.
#[derive(Clone, Copy)]
pub struct Rule {
    /// What findings are known by.
    pub name: &'static str,
    /// What it asks for, in a sentence.
    pub wants: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    check: fn(&mut Findings<'_>, &Dashboard),
}

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// The dashboard's uid.
    pub dashboard: String,
    /// The panel's title, and the query's letter; or the variable's name.
    pub place: String,
    /// What is wrong, and what it should be.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, dashboard, place, message } = self;
        write!(f, "{dashboard}: {place}: {message} ({rule})")
    }
}

/// Where a rule puts what it finds.
struct Findings<'a> {
    /// Every dashboard that there is, for links between them.
    all: &'a [Dashboard],
    rule: &'static str,
    dashboard: String,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, place: impl Into<String>, message: impl Into<String>) {
        let (rule, dashboard) = (self.rule, self.dashboard.clone());
        self.found.push(Finding { rule, dashboard, place: place.into(), message: message.into() });
    }
}

/// The seventeen rules of dashboard-linter, in its order.
pub fn grafana() -> Vec<Rule> {
    [templates::RULES, panels::RULES, targets::RULES, templates::EDITABLE].concat()
}

/// Our own rules.
pub fn house() -> Vec<Rule> {
    house::RULES.concat()
}

/// What these rules find in these dashboards, which are all that there are.
pub fn check(rules: &[Rule], dashboards: &[Dashboard]) -> Vec<Finding> {
    let mut found = Vec::new();
    for dashboard in dashboards {
        for rule in rules {
            let (name, uid) = (rule.name, dashboard.uid.clone());
            let mut findings = Findings { all: dashboards, rule: name, dashboard: uid, found: Vec::new() };
            (rule.check)(&mut findings, dashboard);
            found.append(&mut findings.found);
        }
    }
    found
}

/// The metrics that these dashboards ask for and `known` has not: names as `# TYPE` of a host tells them. What Prometheus itself adds is known.
pub fn unknown_metrics(dashboards: &[Dashboard], known: &BTreeSet<String>) -> Vec<Finding> {
    let own = |metric: &str| metric == "up" || metric == "ALERTS" || metric.starts_with("scrape_");
    let mut found = Vec::new();
    for dashboard in dashboards {
        for metric in dashboard.metrics().into_iter().filter(|metric| !own(metric) && !known.contains(metric))
        {
            let (dashboard, message) = (dashboard.uid.clone(), "no host has such a metric".to_owned());
            found.push(Finding { rule: "chassis-metrics-rule", dashboard, place: metric, message });
        }
    }
    found
}

/// The dashboards in a folder, in the order of their names.
pub fn read(folder: &Path) -> Result<Vec<Dashboard>> {
    Dashboard::all(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_no_host_has_is_found() {
        let dashboard = Dashboard::parse(include_str!("good.json"), Path::new("good.json")).unwrap();
        let known = ["chassis_calls_total".to_owned()].into();
        let found = unknown_metrics(&[dashboard], &known);
        assert_eq!(
            found.iter().map(|found| &*found.place).collect::<Vec<_>>(),
            ["chassis_call_duration_seconds"]
        );
        assert!(found[0].to_string().contains("chassis-good: chassis_call_duration_seconds: no host"));
    }

    #[test]
    fn two_pages_have_two_uids() {
        let dashboard = Dashboard::parse(include_str!("good.json"), Path::new("good.json")).unwrap();
        let found = check(&house(), &[dashboard.clone(), dashboard]);
        assert_eq!(found.iter().map(|found| found.rule).collect::<Vec<_>>(), ["chassis-uid-rule"; 2]);
    }
}
