//! Rules about the way from one page to the next: it keeps the time range, and it arrives.

use super::super::model::{Dashboard, Panel};
use super::super::panels::of_data;
use super::super::{Findings, Rule};
use super::HERE;
use serde_json::Value;

/// The data sources that traces are asked of.
const SOURCES: &[&str] = &["chassis-jaeger", "chassis-prometheus"];

pub const RULES: &[Rule] = &[
    Rule {
        name: "chassis-page-links-rule",
        wants: "A link at the top leads to the other pages, with time range and variables.",
        source: HERE,
        check: page,
    },
    Rule {
        name: "chassis-data-links-rule",
        wants: "Links in panels lead to pages, variables and data sources that there are, with the time range.",
        source: HERE,
        check: data,
    },
];

fn page(found: &mut Findings<'_>, dashboard: &Dashboard) {
    if dashboard.links.is_empty() {
        found.add("links", "there is none to the other pages");
    }
    for link in &dashboard.links {
        let title = link["title"].as_str().unwrap_or("links");
        for kept in ["keepTime", "includeVars"] {
            if link[kept] != true {
                found.add(title, format!("it should say `\"{kept}\": true`"));
            }
        }
        let tags = link["tags"].as_array().into_iter().flatten();
        let leads = |tag: &Value| found.all.iter().any(|other| other.tags.iter().any(|known| tag == known));
        if link["type"] == "dashboards" && !tags.into_iter().any(leads) {
            found.add(title, "no page has its tag");
        }
    }
}

/// The links of a panel: of its fields, and of the columns that differ.
fn links(panel: &Panel) -> impl Iterator<Item = &Value> {
    let lists = panel.overrides("links").chain([&panel.field_config["defaults"]["links"]]);
    lists.flat_map(|list| list.as_array().into_iter().flatten())
}

fn data(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for panel in of_data(dashboard) {
        for link in links(panel) {
            let url = link["url"].as_str().unwrap_or_default();
            let place = format!("{}, {}", panel.title, link["title"].as_str().unwrap_or("a link"));
            if link["title"].as_str().is_none_or(str::is_empty) {
                found.add(&place, "it has no title");
            }
            let wrong = match (url.strip_prefix("/d/"), url.strip_prefix("/explore?")) {
                (Some(rest), _) => to_page(found.all, rest),
                (_, Some(rest)) => to_explore(rest),
                _ => {
                    Some(format!("`{url}` leads away from Grafana; it should begin with /d/UID or /explore"))
                }
            };
            if let Some(wrong) = wrong {
                found.add(&place, wrong);
            }
        }
    }
}

fn to_page(all: &[Dashboard], rest: &str) -> Option<String> {
    let (uid, query) = rest.split_once('?').unwrap_or((rest, ""));
    let Some(page) = all.iter().find(|page| page.uid == uid) else {
        return Some(format!("there is no page `{uid}`"));
    };
    let parts: Vec<&str> = query.split('&').collect();
    if !parts.contains(&"${__url_time_range}") {
        return Some("it loses the time range; say ${__url_time_range}".into());
    }
    if !parts.contains(&"${datasource:queryparam}") {
        return Some("it loses the data source; say ${datasource:queryparam}".into());
    }
    let names = parts.iter().filter_map(|part| part.strip_prefix("var-")?.split('=').next());
    let known = |name: &&str| page.templating.list.iter().any(|variable| variable.name == *name);
    names.into_iter().find(|name| !known(name)).map(|name| format!("`{uid}` has no variable `{name}`"))
}

fn to_explore(query: &str) -> Option<String> {
    if !SOURCES.iter().any(|source| query.contains(source)) {
        return Some(format!("it names no data source; there are {}", SOURCES.join(" and ")));
    }
    let keeps = query.contains("${__from}") && query.contains("${__to}");
    (!keeps).then(|| "it loses the time range; say ${__from} and ${__to}".into())
}

#[cfg(test)]
mod tests {
    use crate::linter::testing::{broken, finds};
    use serde_json::json;

    #[test]
    fn the_link_at_the_top_keeps_what_was_chosen() {
        finds("chassis-page-links-rule", broken("/links", json!([])));
        finds("chassis-page-links-rule", broken("/links/0/keepTime", json!(false)));
        finds("chassis-page-links-rule", broken("/links/0/includeVars", json!(false)));
        finds("chassis-page-links-rule", broken("/links/0/tags", json!(["other"])));
    }

    #[test]
    fn a_link_in_a_panel_arrives_with_the_time_range() {
        for url in [
            "/d/chassis-none?${__url_time_range}&${datasource:queryparam}",
            "/d/chassis-good?${datasource:queryparam}",
            "/d/chassis-good?${__url_time_range}",
            "/d/chassis-good?${__url_time_range}&${datasource:queryparam}&var-other=1",
            "/explore?panes=other&range=${__from},${__to}",
            "/explore?panes=chassis-jaeger&range=${__from}",
            "http://localhost:3000/d/chassis-good",
            "",
        ] {
            finds(
                "chassis-data-links-rule",
                broken("/panels/1/fieldConfig/defaults/links/0/url", json!(url)),
            );
        }
        finds("chassis-data-links-rule", broken("/panels/1/fieldConfig/defaults/links/0/title", json!("")));
        let of_a_column =
            json!([{ "properties": [{ "id": "links", "value": [{ "title": "x", "url": "/d/none" }] }] }]);
        finds("chassis-data-links-rule", broken("/panels/1/fieldConfig/overrides", of_a_column));
    }
}
