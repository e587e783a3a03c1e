//! Rules about a page as a whole.

use super::super::fill::used;
use super::super::model::{Dashboard, GridPos, uid};
use super::super::{Findings, Rule};
use super::HERE;
use std::collections::HashSet;

pub const RULES: &[Rule] = &[
    Rule {
        name: "chassis-uid-rule",
        wants: "A uid that is fixed, begins with `chassis-`, and is no other page's.",
        source: HERE,
        check: uids,
    },
    Rule {
        name: "chassis-format-rule",
        wants: "A version of the format that Grafana 12 writes, the tag `chassis`, and nothing that changes whenever it is exported.",
        source: HERE,
        check: format,
    },
    Rule {
        name: "chassis-datasource-rule",
        wants: "Queries, variables and annotations ask the data source that the page has chosen.",
        source: HERE,
        check: datasources,
    },
    Rule {
        name: "chassis-variables-rule",
        wants: "Queries use variables that there are.",
        source: HERE,
        check: variables,
    },
    Rule {
        name: "chassis-alerts-rule",
        wants: "Alerts that fired are marked in every panel.",
        source: HERE,
        check: alerts,
    },
    Rule {
        name: "chassis-grid-rule",
        wants: "Panels have numbers of their own, and places that do not overlap.",
        source: HERE,
        check: grid,
    },
];

fn uids(found: &mut Findings<'_>, dashboard: &Dashboard) {
    let uid = &dashboard.uid;
    if uid.strip_prefix("chassis-").is_none_or(str::is_empty) {
        found.add("dashboard", format!("its uid is `{uid}`; it should begin with `chassis-`"));
    }
    if found.all.iter().filter(|other| other.uid == *uid).count() > 1 {
        found.add("dashboard", format!("`{uid}` is another page's uid too"));
    }
}

fn format(found: &mut Findings<'_>, dashboard: &Dashboard) {
    if !(39..=41).contains(&dashboard.schema_version) {
        found.add(
            "dashboard",
            format!("its schemaVersion is {}; it should be 39 to 41", dashboard.schema_version),
        );
    }
    if !dashboard.tags.iter().any(|tag| tag == "chassis") {
        found.add("dashboard", "it needs the tag `chassis`, by which the others link to it");
    }
    for noise in ["id", "version", "iteration", "gnetId", "__inputs", "__requires"] {
        if dashboard.rest.contains_key(noise) {
            found.add("dashboard", format!("take `{noise}` out: it says nothing, and changes by itself"));
        }
    }
}

fn datasources(found: &mut Findings<'_>, dashboard: &Dashboard) {
    let right = |source: &serde_json::Value| uid(source) == "${datasource}";
    let targets = dashboard.targets().filter(|(_, target)| !right(&target.datasource));
    let variables = dashboard.variables("query").filter(|variable| !right(&variable.datasource));
    let annotations = dashboard.annotations.list.iter().filter(|annotation| !right(&annotation.datasource));
    let places = targets.map(|(panel, target)| panel.place(target));
    let places = places.chain(variables.map(|variable| variable.name.clone()));
    for place in places.chain(annotations.map(|annotation| annotation.name.clone())) {
        found.add(place, "it should ask `${datasource}`");
    }
}

fn variables(found: &mut Findings<'_>, dashboard: &Dashboard) {
    let known = |name: &String| {
        name.starts_with("__") || dashboard.templating.list.iter().any(|variable| variable.name == *name)
    };
    let queries = dashboard.targets().map(|(panel, target)| (panel.place(target), &*target.expr));
    let asked = dashboard.variables("query").map(|variable| (variable.name.clone(), variable.query()));
    for (place, query) in queries.chain(asked) {
        for name in used(query).iter().filter(|name| !known(name)) {
            found.add(&place, format!("there is no variable `{name}`"));
        }
    }
}

fn alerts(found: &mut Findings<'_>, dashboard: &Dashboard) {
    let marks = |expr: &str| expr.starts_with("ALERTS{") && expr.contains(r#"alertname=~"Chassis.*""#);
    if !dashboard.annotations.list.iter().any(|annotation| marks(&annotation.expr)) {
        found.add("annotations", r#"one should ask for ALERTS{alertname=~"Chassis.*", alertstate="firing"}"#);
    }
}

fn grid(found: &mut Findings<'_>, dashboard: &Dashboard) {
    let overlap =
        |a: GridPos, b: GridPos| a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
    let (mut ids, mut titles) = (HashSet::new(), HashSet::new());
    for (index, panel) in dashboard.panels.iter().enumerate() {
        let GridPos { h, w, x, .. } = panel.grid_pos;
        if h == 0 || w == 0 || x + w > 24 {
            found.add(&panel.title, "it has no place within the 24 columns");
        }
        if let Some(other) =
            dashboard.panels[..index].iter().find(|other| overlap(other.grid_pos, panel.grid_pos))
        {
            found.add(&panel.title, format!("it stands on `{}`", other.title));
        }
        if !ids.insert(panel.id) {
            found.add(&panel.title, format!("another panel has the id {} too", panel.id));
        }
        if !titles.insert(&panel.title) {
            found.add(&panel.title, "another panel of this page is called so, too");
        }
        let mut letters = HashSet::new();
        if let Some(twice) = panel.targets.iter().find(|target| !letters.insert(&target.ref_id)) {
            found.add(&panel.title, format!("two of its queries are called `{}`", twice.ref_id));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::linter::testing::{broken, finds};
    use serde_json::json;

    #[test]
    fn a_uid_is_ours_and_fixed() {
        finds("chassis-uid-rule", broken("/uid", json!("good")));
        finds("chassis-uid-rule", broken("/uid", json!("chassis-")));
        finds("chassis-uid-rule", broken("/uid", json!("")).without("/uid"));
    }

    #[test]
    fn the_format_is_grafanas_without_noise() {
        finds("chassis-format-rule", broken("/schemaVersion", json!(36)));
        finds("chassis-format-rule", broken("/tags", json!([])));
        finds("chassis-format-rule", broken("/version", json!(7)));
        finds("chassis-format-rule", broken("/id", json!(null)));
    }

    #[test]
    fn whoever_asks_asks_the_chosen_source() {
        for place in ["/panels/2/targets/0", "/templating/list/3", "/annotations/list/0"] {
            finds(
                "chassis-datasource-rule",
                broken(&format!("{place}/datasource/uid"), json!("chassis-prometheus")),
            );
        }
    }

    #[test]
    fn a_query_uses_what_there_is() {
        finds("chassis-variables-rule", broken("/panels/1/targets/0/expr", json!("up{name=~\"$other\"}")));
        finds(
            "chassis-variables-rule",
            broken("/templating/list/3/query/query", json!("label_values(up{a=\"${b}\"}, c)")),
        );
    }

    #[test]
    fn alerts_are_marked() {
        finds("chassis-alerts-rule", broken("/annotations/list/0/expr", json!("ALERTS")));
        finds("chassis-alerts-rule", broken("/annotations/list", json!([])));
    }

    #[test]
    fn a_panel_has_a_place_of_its_own() {
        finds("chassis-grid-rule", broken("/panels/2/gridPos/x", json!(11)));
        finds("chassis-grid-rule", broken("/panels/2/gridPos/w", json!(13)));
        finds("chassis-grid-rule", broken("/panels/2/gridPos/h", json!(0)));
        finds("chassis-grid-rule", broken("/panels/2/id", json!(2)));
        finds("chassis-grid-rule", broken("/panels/2/title", json!("Calls")));
        let twice = json!({ "expr": "up", "refId": "A" });
        finds("chassis-grid-rule", broken("/panels/1/targets/-", twice));
    }
}
