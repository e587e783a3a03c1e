//! Rules about queries.

use super::model::{Dashboard, Panel, Target};
use super::promql::{self, Expr};
use super::{Findings, Rule, logql};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "target-logql-rule",
        wants: "Queries of Loki are valid.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/target-logql-rule.md",
        check: logql_valid,
    },
    Rule {
        name: "target-logql-auto-rule",
        wants: "Queries of Loki look back for `$__auto`.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/target-logql-auto-rule.md",
        check: logql_auto,
    },
    Rule {
        name: "target-promql-rule",
        wants: "Queries of Prometheus are valid.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/target-promql-rule.md",
        check: promql_valid,
    },
    Rule {
        name: "target-rate-interval-rule",
        wants: "A rate looks back for `$__rate_interval`.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/target-rate-interval-rule.md",
        check: rate_interval,
    },
    Rule {
        name: "target-job-rule",
        wants: "Every selector says `job=~\"$job\"`.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/target-job-rule.md",
        check: |found, dashboard| matcher(found, dashboard, "job"),
    },
    Rule {
        name: "target-instance-rule",
        wants: "Every selector says `instance=~\"$instance\"`.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/target-instance-rule.md",
        check: |found, dashboard| matcher(found, dashboard, "instance"),
    },
    Rule {
        name: "target-counter-agg-rule",
        wants: "A counter (`…_total`) is asked for its rate, irate or increase.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/lint/rule_target_counter_agg.go",
        check: counter,
    },
];

/// The queries of Prometheus, with what they are when parsed.
fn parsed(dashboard: &Dashboard) -> Vec<(String, Expr)> {
    let asks = dashboard.asks("prometheus");
    let targets = dashboard.targets().filter(|_| asks).filter(|(_, target)| !is_loki(dashboard, target));
    // What cannot be parsed is the matter of another rule.
    targets
        .filter_map(|(panel, target)| Some((panel.place(target), promql::parse(&target.expr).ok()?)))
        .collect()
}

fn is_loki(dashboard: &Dashboard, target: &Target) -> bool {
    dashboard.asks("loki") || target.datasource["type"] == "loki"
}

/// The queries of Loki that are shown.
fn of_loki(dashboard: &Dashboard) -> impl Iterator<Item = (&Panel, &Target)> {
    dashboard.targets().filter(|(_, target)| !target.hide && is_loki(dashboard, target))
}

/// Whether a query without text shows the data of a panel that exists.
fn refers(dashboard: &Dashboard, target: &Target) -> bool {
    target.expr.is_empty() && dashboard.every_panel().any(|panel| Some(panel.id) == target.panel_id)
}

fn logql_valid(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for (panel, target) in of_loki(dashboard).filter(|(_, target)| !refers(dashboard, target)) {
        if let Err(why) = logql::parse(&target.expr) {
            found.add(panel.place(target), format!("`{}` is no LogQL: {why}", target.expr));
        }
    }
}

fn logql_auto(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for (panel, target) in of_loki(dashboard).filter(|(_, target)| !target.expr.contains("$__auto")) {
        let Ok(ranges) = logql::parse(&target.expr) else { continue };
        if let Some(range) = ranges.first() {
            found.add(panel.place(target), format!("it looks back for `{range}`; it should for `$__auto`"));
        }
    }
}

fn promql_valid(found: &mut Findings<'_>, dashboard: &Dashboard) {
    if !dashboard.asks("prometheus") {
        return;
    }
    for (panel, target) in dashboard.targets() {
        if is_loki(dashboard, target) || refers(dashboard, target) {
            continue;
        }
        if let Err(why) = promql::parse(&target.expr) {
            found.add(panel.place(target), format!("`{}` is no PromQL: {why}", target.expr));
        }
    }
}

fn rate_interval(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for (place, expr) in parsed(dashboard) {
        promql::walk(&expr, &mut |part, above| {
            let Expr::MatrixSelector(matrix) = part else { return };
            if matrix.range == promql::RATE_INTERVAL {
                return;
            }
            if let Some(Expr::Call(call)) = above.last()
                && ["rate", "irate"].contains(&call.func.name)
            {
                let message = format!("`{}` should look back for `$__rate_interval`", call.func.name);
                found.add(&place, message);
            }
        });
    }
}

fn matcher(found: &mut Findings<'_>, dashboard: &Dashboard, label: &str) {
    for (place, expr) in parsed(dashboard) {
        for selector in promql::selectors(&expr) {
            if !promql::matches(selector, label, &format!("${label}")) {
                let metric = promql::metric(selector).unwrap_or("a selector");
                found.add(&place, format!("`{metric}` does not say `{label}=~\"${label}\"`"));
            }
        }
    }
}

fn counter(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for (place, expr) in parsed(dashboard) {
        promql::walk(&expr, &mut |part, above| {
            let (selector, ranged) = match part {
                Expr::VectorSelector(selector) => (selector, false),
                Expr::MatrixSelector(matrix) => (&matrix.vs, true),
                _ => return,
            };
            let Some(metric) = promql::metric(selector).filter(|metric| metric.ends_with("_total")) else {
                return;
            };
            let function = match above.last() {
                Some(Expr::Call(call)) if ranged => call.func.name,
                _ => "",
            };
            if !["rate", "irate", "increase"].contains(&function) {
                found.add(&place, format!("`{metric}` counts: ask for its rate, irate or increase"));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::linter::testing::{Broken, broken, finds, passes};
    use serde_json::json;

    const SELECTED: &str = r#"{job=~"$job", instance=~"$instance"}"#;

    fn query(text: &str) -> Broken {
        broken("/panels/1/targets/0/expr", json!(text))
    }

    fn of(metric: &str, rest: &str) -> String {
        format!("{metric}{SELECTED}{rest}")
    }

    fn loki(text: &str) -> Broken {
        query(text).and("/panels/1/targets/0/datasource/type", json!("loki"))
    }

    #[test]
    fn a_query_of_loki_is_valid() {
        for wrong in [r#"{job="a""#, "{}", r#"sum(rate({job="a"}))"#, "up", ""] {
            finds("target-logql-rule", loki(wrong));
        }
        passes("target-logql-rule", loki(r#"sum by (level) (rate({job="a"} | json [$__auto]))"#));
        passes("target-logql-rule", loki("{").and("/panels/1/targets/0/hide", json!(true)));
        passes("target-logql-rule", loki("").and("/panels/1/targets/0/panelId", json!(3)));
    }

    #[test]
    fn a_query_of_loki_looks_back_by_itself() {
        finds("target-logql-auto-rule", loki(r#"sum(rate({job="a"}[5m]))"#));
        finds(
            "target-logql-auto-rule",
            loki(r#"sum(rate({job="a"}[5m]))"#).and("/templating/list/0/query", json!("loki")),
        );
        passes("target-logql-auto-rule", loki(r#"sum(rate({job="a"}[$__auto]))"#));
        passes("target-logql-auto-rule", loki(r#"{job="a"} |= "[5m]""#));
    }

    #[test]
    fn a_query_of_prometheus_is_valid() {
        for wrong in ["sum(", "rate(x)", "no_such_function(x)", ""] {
            finds("target-promql-rule", query(wrong));
        }
        finds("target-promql-rule", query("").and("/panels/1/targets/0/panelId", json!(99)));
        passes("target-promql-rule", query("").and("/panels/1/targets/0/panelId", json!(3)));
    }

    #[test]
    fn a_rate_looks_back_for_the_rate_interval() {
        finds("target-rate-interval-rule", query(&format!("sum(rate({}))", of("a_total", "[5m]"))));
        finds("target-rate-interval-rule", query(&format!("irate({})", of("a_total", "[$__interval]"))));
        passes("target-rate-interval-rule", query(&format!("increase({})", of("a_total", "[$__range]"))));
    }

    #[test]
    fn every_selector_says_which_job_and_instance() {
        let whole = of("up", "");
        for (rule, label) in [("target-job-rule", "job"), ("target-instance-rule", "instance")] {
            finds(rule, query(&format!("{whole} / up{{other=\"1\"}}")));
            finds(rule, query(&whole.replace(&format!("{label}=~"), &format!("{label}="))));
            finds(rule, query(&whole.replace(&format!("${label}"), ".+")));
            passes(rule, query(&whole));
        }
    }

    #[test]
    fn a_counter_is_asked_for_its_rate() {
        for wrong in ["sum({})", "{}", "max_over_time({}[5m])", "delta({}[5m])"] {
            finds("target-counter-agg-rule", query(&wrong.replace("{}", &of("a_total", ""))));
        }
        passes("target-counter-agg-rule", query(&format!("increase({})", of("a_total", "[5m]"))));
        passes("target-counter-agg-rule", query(&of("a_totals", "")));
    }
}
