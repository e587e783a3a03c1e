//! The shipped dashboards, by every rule.
#![allow(clippy::unwrap_used)]

use chassis_observe::linter::model::Dashboard;
use chassis_observe::linter::{check, grafana, house, read};
use std::collections::HashSet;
use std::path::Path;

fn shipped() -> Vec<Dashboard> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana/dashboards")).unwrap()
}

#[test]
fn there_are_five_and_nothing_is_wrong_with_them() {
    let dashboards = shipped();
    let uids: Vec<&str> = dashboards.iter().map(|dashboard| &*dashboard.uid).collect();
    assert_eq!(
        uids,
        ["chassis-backend", "chassis-flows", "chassis-host", "chassis-overview", "chassis-resilience"]
    );
    let rules: Vec<_> = grafana().into_iter().chain(house()).collect();
    let found: Vec<String> = check(&rules, &dashboards).iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_seventeen_rules_of_grafanas_linter_are_there_by_their_names() {
    let names: Vec<&str> = grafana().iter().map(|rule| rule.name).collect();
    assert_eq!(
        names,
        [
            "template-datasource-rule",
            "template-job-rule",
            "template-instance-rule",
            "template-label-promql-rule",
            "template-on-time-change-reload-rule",
            "panel-datasource-rule",
            "panel-title-description-rule",
            "panel-units-rule",
            "panel-no-targets-rule",
            "target-logql-rule",
            "target-logql-auto-rule",
            "target-promql-rule",
            "target-rate-interval-rule",
            "target-job-rule",
            "target-instance-rule",
            "target-counter-agg-rule",
            "uneditable-dashboard",
        ]
    );
    let all: Vec<_> = grafana().into_iter().chain(house()).collect();
    let distinct: HashSet<&str> = all.iter().map(|rule| rule.name).collect();
    assert_eq!(distinct.len(), all.len());
    assert!(all.iter().all(|rule| !rule.wants.is_empty() && !rule.source.is_empty()));
}

#[test]
fn a_page_shows_every_metric_that_it_should() {
    let metrics: HashSet<String> = shipped().iter().flat_map(Dashboard::metrics).collect();
    for metric in [
        "chassis_calls_total",
        "chassis_flow_stuck",
        "chassis_breaker_state",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(metric), "{metric}");
    }
    assert!(!metrics.contains("chassis_call_duration_seconds_bucket"), "a histogram has its own name");
}

#[test]
fn an_alert_leads_to_a_panel_that_is_there() {
    let dashboards = shipped();
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../prometheus/rules/alerts.yml");
    let text = std::fs::read_to_string(rules).unwrap();
    let mut seen = 0;
    for line in text.lines().filter(|line| line.trim().starts_with("dashboard:")) {
        let (_, link) = line.split_once("/d/").unwrap();
        let (uid, query) = link.split_once('?').unwrap();
        let page = dashboards.iter().find(|page| page.uid == uid).unwrap_or_else(|| panic!("{line}"));
        let variables: Vec<&str> =
            query.split('&').filter_map(|part| part.strip_prefix("var-")?.split('=').next()).collect();
        let known = |name: &&str| page.templating.list.iter().any(|variable| variable.name == *name);
        assert!(variables.iter().all(known), "{line}");
        // Several numbers, where the alert's labels decide which.
        let (_, panels) = query.split_once("viewPanel=").unwrap_or_else(|| panic!("{line}"));
        let quoted = panels.split('"').step_by(2).collect::<String>();
        for id in quoted.split(|c: char| !c.is_ascii_digit()).filter(|id| !id.is_empty()) {
            assert!(page.every_panel().any(|panel| panel.id.to_string() == id), "no panel {id}: {line}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}
