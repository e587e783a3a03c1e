//! Rules about panels.

use super::super::model::{Dashboard, Panel, Target};
use super::super::panels::of_data;
use super::super::units::UNITS;
use super::super::{Findings, Rule};
use super::HERE;

/// After it a description says what to do.
const ADVICE: &str = "**If it looks bad:** ";
/// The histograms that carry trace ids.
const EXEMPLARS: [&str; 2] = ["chassis_call_duration_seconds_bucket", "chassis_flow_duration_seconds_bucket"];
/// Each outcome's colour, of calls and of runs.
const CALLS: &[(&str, &str)] =
    &[("ok", "green"), ("error", "red"), ("refused", "orange"), ("cancelled", "#8e8e8e")];
const RUNS: &[(&str, &str)] =
    &[("completed", "green"), ("stuck", "red"), ("undone", "orange"), ("cancelled", "#8e8e8e")];

pub const RULES: &[Rule] = &[
    Rule {
        name: "chassis-description-rule",
        wants: "A description says what to do when the panel looks bad.",
        source: HERE,
        check: descriptions,
    },
    Rule {
        name: "chassis-unit-rule",
        wants: "Every unit of an override is one that Grafana knows, too.",
        source: HERE,
        check: units,
    },
    Rule {
        name: "chassis-legend-rule",
        wants: "Series have names that we chose, and curves show them.",
        source: HERE,
        check: legends,
    },
    Rule {
        name: "chassis-exemplar-rule",
        wants: "Where the time of calls or runs is drawn, an exemplar leads to a trace; and only there is one asked for.",
        source: HERE,
        check: exemplars,
    },
    Rule {
        name: "chassis-outcome-rule",
        wants: "Outcomes have the same colours everywhere.",
        source: HERE,
        check: outcomes,
    },
];

fn descriptions(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for panel in of_data(dashboard) {
        let (what, advice) = panel.description.split_once(ADVICE).unwrap_or_default();
        if what.trim().is_empty() || advice.split_whitespace().count() < 3 {
            found.add(
                &panel.title,
                format!("its description should say what it shows, then `{ADVICE}` and what to do"),
            );
        }
    }
}

fn units(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for panel in of_data(dashboard) {
        for unit in
            panel.overrides("unit").filter(|unit| !unit.as_str().is_some_and(|unit| UNITS.contains(&unit)))
        {
            found.add(&panel.title, format!("{unit} is no unit of Grafana's"));
        }
    }
}

fn legends(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for (panel, target) in dashboard.targets() {
        if target.format != "table" && ["", "__auto"].contains(&&*target.legend_format) {
            found.add(panel.place(target), "`legendFormat` should say what a series is called");
        }
    }
    for panel in of_data(dashboard).filter(|panel| panel.kind == "timeseries") {
        if panel.options["legend"]["showLegend"] != true {
            found.add(&panel.title, "its legend is hidden");
        }
    }
}

fn exemplars(found: &mut Findings<'_>, dashboard: &Dashboard) {
    let has = |target: &Target| EXEMPLARS.iter().any(|metric| target.expr.contains(metric));
    for panel in of_data(dashboard) {
        let drawn = ["timeseries", "heatmap"].contains(&&*panel.kind);
        if drawn && panel.targets.iter().any(has) && !panel.targets.iter().any(|target| target.exemplar) {
            found.add(&panel.title, "one of its queries should say `\"exemplar\": true`");
        }
        for target in panel.targets.iter().filter(|target| target.exemplar && !(drawn && has(target))) {
            found.add(
                panel.place(target),
                format!("an exemplar is only of {}, in a curve or a heat map", EXEMPLARS.join(" and ")),
            );
        }
    }
}

fn outcomes(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for panel in of_data(dashboard) {
        let by_outcome = |target: &&Target| target.legend_format.contains("{{outcome}}");
        let Some(target) = panel.targets.iter().find(by_outcome) else { continue };
        let wanted = if target.expr.contains("chassis_flow_") { RUNS } else { CALLS };
        for (outcome, colour) in
            wanted.iter().filter(|(outcome, colour)| !is_coloured(panel, outcome, colour))
        {
            found.add(&panel.title, format!("`{outcome}` should be {colour}, by an override"));
        }
    }
}

fn is_coloured(panel: &Panel, outcome: &str, colour: &str) -> bool {
    let all = panel.field_config["overrides"].as_array().into_iter().flatten();
    let mut of_outcome =
        all.filter(|one| one["matcher"]["id"] == "byName" && one["matcher"]["options"] == outcome);
    of_outcome.any(|one| {
        let properties = one["properties"].as_array().into_iter().flatten();
        properties.into_iter().any(|each| each["id"] == "color" && each["value"]["fixedColor"] == colour)
    })
}

#[cfg(test)]
mod tests {
    use crate::linter::testing::{broken, finds, passes};
    use serde_json::json;

    #[test]
    fn a_description_says_what_to_do() {
        for wrong in ["Calls.", "Calls. **If it looks bad:** ", "**If it looks bad:** look at the errors."] {
            finds("chassis-description-rule", broken("/panels/2/description", json!(wrong)));
        }
    }

    #[test]
    fn every_override_has_a_unit_that_there_is() {
        let of = |id: &str, unit: &str| json!([{ "properties": [{ "id": id, "value": unit }, { "id": "unit", "value": "s" }] }]);
        finds("chassis-unit-rule", broken("/panels/1/fieldConfig/overrides", of("unit", "parsecs")));
        passes("chassis-unit-rule", broken("/panels/1/fieldConfig/overrides", of("other", "parsecs")));
    }

    #[test]
    fn a_series_has_a_name() {
        finds("chassis-legend-rule", broken("/panels/1/targets/0/legendFormat", json!("")));
        finds("chassis-legend-rule", broken("/panels/2/targets/0/legendFormat", json!("__auto")));
        finds("chassis-legend-rule", broken("/panels/1/options/legend/showLegend", json!(false)));
        passes(
            "chassis-legend-rule",
            broken("/panels/1/targets/0/legendFormat", json!(""))
                .and("/panels/1/targets/0/format", json!("table")),
        );
    }

    #[test]
    fn an_exemplar_is_where_traces_are() {
        finds("chassis-exemplar-rule", broken("/panels/2/targets/0/exemplar", json!(false)));
        finds("chassis-exemplar-rule", broken("/panels/1/targets/0/exemplar", json!(true)));
        finds("chassis-exemplar-rule", broken("/panels/2/type", json!("stat")));
    }

    #[test]
    fn an_outcome_has_its_colour() {
        finds("chassis-outcome-rule", broken("/panels/1/fieldConfig/overrides", json!([])));
        finds(
            "chassis-outcome-rule",
            broken("/panels/1/fieldConfig/overrides/1/properties/0/value/fixedColor", json!("blue")),
        );
        finds(
            "chassis-outcome-rule",
            broken("/panels/1/targets/0/expr", json!("sum by (outcome) (chassis_flow_runs_total)")),
        );
    }
}
