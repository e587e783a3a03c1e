//! Rules about panels. The original looks at the six kinds that it knows; these at all that show data.

use super::model::{Dashboard, Panel, uid};
use super::units::UNITS;
use super::{Findings, Rule};
use serde_json::Value;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "panel-datasource-rule",
        wants: "Panels ask the data source that the page has chosen.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/panel-datasource-rule.md",
        check: datasource,
    },
    Rule {
        name: "panel-title-description-rule",
        wants: "Panels have a title and a description.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/panel-title-description-rule.md",
        check: titles,
    },
    Rule {
        name: "panel-units-rule",
        wants: "Panels have a unit that Grafana knows, or words for their values.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/panel-units-rule.md",
        check: units,
    },
    Rule {
        name: "panel-no-targets-rule",
        wants: "Panels have a query.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/lint/rule_panel_no_targets.go",
        check: no_targets,
    },
];

/// Panels that show data.
pub(super) fn of_data(dashboard: &Dashboard) -> impl Iterator<Item = &Panel> {
    dashboard.every_panel().filter(|panel| panel.kind != "text")
}

fn datasource(found: &mut Findings<'_>, dashboard: &Dashboard) {
    let chosen: Vec<&str> = dashboard.variables("datasource").map(|variable| &*variable.name).collect();
    let is_chosen = |source: &str| {
        let name =
            source.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).or(source.strip_prefix('$'));
        name.is_some_and(|name| chosen.contains(&name))
    };
    for panel in of_data(dashboard) {
        let source = uid(&panel.datasource);
        if !is_chosen(source) {
            found.add(&panel.title, format!("it asks `{source}`; it should ask `${{datasource}}`"));
        }
    }
}

fn titles(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for panel in of_data(dashboard) {
        if panel.title.is_empty() || panel.description.is_empty() {
            let place =
                if panel.title.is_empty() { format!("panel {}", panel.id) } else { panel.title.clone() };
            found.add(place, "it needs both a title and a description");
        }
    }
}

fn units(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for panel in of_data(dashboard).filter(|panel| !shows_words(panel)) {
        let unit = unit(panel);
        if !UNITS.contains(&unit) {
            found.add(&panel.title, format!("`{unit}` is no unit of Grafana's"));
        }
    }
}

/// Values that are words of their own, or a text, have no unit. An empty list of mappings is no word.
fn shows_words(panel: &Panel) -> bool {
    let words = |value: &Value| value.as_array().is_some_and(|mappings| !mappings.is_empty());
    let text =
        panel.kind == "stat" && panel.options["reduceOptions"]["fields"].as_str().unwrap_or_default() != "";
    text || words(&panel.field_config["defaults"]["mappings"]) || panel.overrides("mappings").any(words)
}

/// As the original has it, one of an override goes before the panel's; a heat map's is that of its axis.
fn unit(panel: &Panel) -> &str {
    let axis = (panel.kind == "heatmap").then(|| &panel.options["yAxis"]["unit"]);
    let last = panel.overrides("unit").last();
    let default = &panel.field_config["defaults"]["unit"];
    axis.or(last).unwrap_or(default).as_str().unwrap_or_default()
}

fn no_targets(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for panel in of_data(dashboard).filter(|panel| panel.targets.is_empty()) {
        found.add(&panel.title, "it has no query");
    }
}

#[cfg(test)]
mod tests {
    use crate::linter::testing::{broken, finds, passes};
    use serde_json::json;

    #[test]
    fn a_panel_asks_the_chosen_source() {
        finds("panel-datasource-rule", broken("/panels/1/datasource/uid", json!("chassis-prometheus")));
        finds("panel-datasource-rule", broken("/panels/1/datasource", json!("$other")));
        // The original would not look at a heat map.
        finds("panel-datasource-rule", broken("/panels/2/datasource/uid", json!("chassis-prometheus")));
        passes("panel-datasource-rule", broken("/panels/1/datasource", json!("$datasource")));
    }

    #[test]
    fn a_panel_has_title_and_description() {
        finds("panel-title-description-rule", broken("/panels/1/title", json!("")));
        finds("panel-title-description-rule", broken("/panels/1/description", json!("")));
    }

    #[test]
    fn a_panel_has_a_unit_or_words() {
        let unit = "/panels/1/fieldConfig/defaults/unit";
        finds("panel-units-rule", broken(unit, json!("parsecs")));
        finds("panel-units-rule", broken(unit, json!("")));
        finds(
            "panel-units-rule",
            broken(unit, json!("")).and("/panels/1/fieldConfig/defaults/mappings", json!([])),
        );
        finds("panel-units-rule", broken("/panels/2/options/yAxis/unit", json!("parsecs")));
        let wrong = json!([{ "matcher": {}, "properties": [{ "id": "unit", "value": "parsecs" }] }]);
        finds("panel-units-rule", broken("/panels/1/fieldConfig/overrides", wrong));
        let words = json!([{ "type": "value", "options": { "1": { "text": "open" } } }]);
        passes(
            "panel-units-rule",
            broken(unit, json!("")).and("/panels/1/fieldConfig/defaults/mappings", words),
        );
    }

    #[test]
    fn a_panel_has_a_query() {
        finds("panel-no-targets-rule", broken("/panels/1/targets", json!([])));
        finds("panel-no-targets-rule", broken("/panels/1/targets", json!([])).without("/panels/1/targets"));
    }
}
