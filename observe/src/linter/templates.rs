//! Rules about what can be chosen at the top of the page.

use super::model::{Dashboard, Variable, uid};
use super::{Findings, Rule, promql};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "template-datasource-rule",
        wants: "A variable for the data source, named `datasource` and labelled `Data source`.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/template-datasource-rule.md",
        check: datasource,
    },
    Rule {
        name: "template-job-rule",
        wants: "A variable `job`, for several jobs, where all are `.+`.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/template-job-rule.md",
        check: |found, dashboard| label_variable(found, dashboard, "job", "Job"),
    },
    Rule {
        name: "template-instance-rule",
        wants: "A variable `instance`, for several instances, where all are `.+`.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/template-instance-rule.md",
        check: |found, dashboard| label_variable(found, dashboard, "instance", "Instance"),
    },
    Rule {
        name: "template-label-promql-rule",
        wants: "Variables ask with a function that Prometheus' data source has, of a metric that can be written so.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/template-label-promql-rule.md",
        check: label_query,
    },
    Rule {
        name: "template-on-time-change-reload-rule",
        wants: "Variables ask anew when the time range changes.",
        source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/template-on-time-change-reload-rule.md",
        check: reload,
    },
];

pub(super) const EDITABLE: &[Rule] = &[Rule {
    name: "uneditable-dashboard",
    wants: "Nobody edits it in the page, where the change would be lost.",
    source: "https://github.com/grafana/dashboard-linter/blob/main/docs/rules/template-uneditable-rule.md",
    check: |found, dashboard| {
        if dashboard.editable {
            found.add("dashboard", "it can be edited; say `\"editable\": false`");
        }
    },
}];

fn datasource(found: &mut Findings<'_>, dashboard: &Dashboard) {
    let all: Vec<&Variable> = dashboard.variables("datasource").collect();
    if all.is_empty() {
        found.add("variables", "there is none of the type `datasource`");
    }
    for variable in &all {
        let kind = variable.query().to_lowercase();
        let title: String =
            kind.chars().take(1).flat_map(char::to_uppercase).chain(kind.chars().skip(1)).collect();
        let (mut names, mut labels) =
            (vec![format!("{kind}_datasource")], vec![format!("{title} data source")]);
        if all.len() == 1 {
            names.push("datasource".into());
            labels.push("Data source".into());
        }
        if !names.contains(&variable.name) {
            found.add(&variable.name, format!("its name should be one of: {}", names.join(", ")));
        }
        if !labels.contains(&variable.label) {
            found.add(&variable.name, format!("its label should be one of: {}", labels.join(", ")));
        }
    }
}

fn label_variable(found: &mut Findings<'_>, dashboard: &Dashboard, name: &str, label: &str) {
    if !dashboard.asks("prometheus") {
        return;
    }
    let Some(variable) = dashboard.templating.list.iter().find(|variable| variable.name == name) else {
        return found.add(name, "there is no such variable");
    };
    let source = uid(&variable.datasource);
    if !["$datasource", "${datasource}", "$prometheus_datasource", "${prometheus_datasource}"]
        .contains(&source)
    {
        found.add(name, format!("it asks `{source}`; it should ask `${{datasource}}`"));
    }
    if variable.kind != "query" {
        found.add(name, format!("its type is `{}`; it should be `query`", variable.kind));
    }
    if variable.label != label {
        found.add(name, format!("its label is `{}`; it should be `{label}`", variable.label));
    }
    if !variable.multi {
        found.add(name, "only one can be chosen; say `\"multi\": true`");
    }
    if variable.all_value.as_deref() != Some(".+") {
        found.add(name, "all of them should be `\"allValue\": \".+\"`");
    }
}

fn label_query(found: &mut Findings<'_>, dashboard: &Dashboard) {
    if !dashboard.asks("prometheus") {
        return;
    }
    for variable in dashboard.variables("query") {
        if let Err(why) = function(variable.query()) {
            found.add(&variable.name, format!("`{}`: {why}", variable.query()));
        }
    }
}

/// `label_values(METRIC, LABEL)` and its like. The original takes whatever begins like a query; here all of it must be one.
fn function(query: &str) -> Result<(), String> {
    let parts = query.trim().strip_suffix(')').and_then(|rest| rest.split_once('('));
    let (name, argument) = parts.ok_or("it is no function's call, such as label_values(METRIC, LABEL)")?;
    if !["label_names", "label_values", "metrics", "query_result"].contains(&name) {
        return Err(format!("the data source has no function `{name}`"));
    }
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let selector = match (name, argument.rsplit_once(',')) {
        ("label_values", Some((selector, label))) if word(label.trim()) => selector,
        ("label_values", _) if word(argument.trim()) => return Ok(()),
        ("label_values", _) => return Err("its last argument is no label".into()),
        ("label_names", _) if argument.trim().is_empty() => return Ok(()),
        _ => argument,
    };
    promql::parse(selector).map(drop).map_err(|error| error.to_string())
}

fn reload(found: &mut Findings<'_>, dashboard: &Dashboard) {
    for variable in dashboard.variables("query").filter(|variable| variable.refresh != 2) {
        found.add(
            &variable.name,
            format!("`refresh` is {}; it should be 2, on time range change", variable.refresh),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::linter::testing::{broken, finds};
    use serde_json::json;

    #[test]
    fn a_data_source_is_a_variable_and_has_its_name() {
        finds("template-datasource-rule", broken("/templating/list", json!([])));
        finds("template-datasource-rule", broken("/templating/list/0/name", json!("source")));
        finds("template-datasource-rule", broken("/templating/list/0/label", json!("Data Source")));
        finds(
            "template-datasource-rule",
            broken("/templating/list/0/query", json!("loki"))
                .and("/templating/list/0/label", json!("Prometheus data source")),
        );
    }

    #[test]
    fn job_and_instance_are_variables_for_several() {
        for (rule, at) in [("template-job-rule", 1), ("template-instance-rule", 2)] {
            let at = |what: &str| format!("/templating/list/{at}/{what}");
            finds(rule, broken(&at("name"), json!("other")));
            finds(rule, broken(&at("datasource/uid"), json!("chassis-prometheus")));
            finds(rule, broken(&at("type"), json!("custom")));
            finds(rule, broken(&at("label"), json!("Which")));
            finds(rule, broken(&at("multi"), json!(false)));
            finds(rule, broken(&at("allValue"), json!(".*")));
        }
    }

    #[test]
    fn a_variable_asks_with_a_function_that_there_is() {
        for query in [
            "chassis_plugin_info",
            "label_value(up, job)",
            "label_values(up{job=, instance)",
            "label_values(up, a b)",
            "query_result(sum()",
        ] {
            finds("template-label-promql-rule", broken("/templating/list/1/query/query", json!(query)));
        }
        for query in ["label_values(job)", "label_names()", "query_result(sum(up))", "metrics(up)"] {
            assert_eq!(super::function(query), Ok(()), "{query}");
        }
    }

    #[test]
    fn a_variable_asks_anew_with_the_time_range() {
        finds("template-on-time-change-reload-rule", broken("/templating/list/2/refresh", json!(1)));
    }

    #[test]
    fn it_cannot_be_edited() {
        finds("uneditable-dashboard", broken("/editable", json!(true)));
        finds("uneditable-dashboard", broken("/editable", json!(null)).without("/editable"));
    }
}
