//! A trace as it must be: one tree from the edge through flow, step and call, without an orphan, a gap, a wrong time or a wrong error.

use crate::jaeger::Span;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// What is known of an operation from elsewhere, and its trace must show.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The run, as `/v1/runs/{id}` shows it; null for a plain call.
    pub run: Value,
    /// The status of the answer.
    pub status: u16,
    /// The calls that failed, as `instance.operation`.
    pub failing: BTreeSet<String>,
    /// The calls that were made more than once.
    pub retried: BTreeSet<String>,
    /// The calls that a policy refused.
    pub refused: BTreeSet<String>,
    /// Whether it processed a message.
    pub processes: bool,
}

/// Two clocks read one after the other: a child's times are made by the same process as its parent's.
const SLACK: u64 = 1_000_000;
const SERVER: u64 = 2;
const CONSUMER: u64 = 5;

/// What is wrong with a trace; a line each, nothing if it is right.
pub fn defects(spans: &[Span], expected: &Expected) -> Vec<String> {
    let mut defects = Vec::new();
    let by_id: HashMap<&str, &Span> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    if by_id.len() != spans.len() {
        defects.push("a span is there twice".to_owned());
    }
    let traces: BTreeSet<&str> = spans.iter().map(|span| span.trace.as_str()).collect();
    if traces.len() != 1 {
        defects.push(format!("spans of {} traces", traces.len()));
    }
    let roots: Vec<&Span> = spans.iter().filter(|span| span.parent.is_empty()).collect();
    match roots.as_slice() {
        [root] if root.kind == SERVER => status(root, expected, &mut defects),
        [root] => defects.push(format!("the root `{}` is not the edge's", root.name)),
        roots => defects.push(format!("{} roots", roots.len())),
    }
    for span in spans.iter().filter(|span| !span.parent.is_empty()) {
        match by_id.get(span.parent.as_str()) {
            Some(parent) => nested(span, parent, &mut defects),
            None => defects.push(format!("`{}` is an orphan: its parent is not there", span.name)),
        }
    }
    if !expected.run.is_null() {
        run(spans, &by_id, expected, &mut defects);
    }
    errors(spans, expected, &mut defects);
    visible(spans, expected, &mut defects);
    defects
}

/// The edge's span says what the client saw; only a server's own failure is its error.
fn status(root: &Span, expected: &Expected, defects: &mut Vec<String>) {
    let told = root.attributes.get("http.response.status_code").map(String::as_str).unwrap_or_default();
    if told != expected.status.to_string() {
        defects.push(format!("the edge's span says status {told}, and the answer was {}", expected.status));
    }
    if root.failed != (expected.status >= 500) {
        defects.push(format!("the edge's span is {} with {}", word(root.failed), expected.status));
    }
}

fn nested(span: &Span, parent: &Span, defects: &mut Vec<String>) {
    if span.end < span.start {
        defects.push(format!("`{}` ends before it begins", span.name));
    }
    if span.start + SLACK < parent.start || span.end > parent.end + SLACK {
        defects.push(format!(
            "`{}` ({} to {} ns) is not within `{}` ({} to {} ns)",
            span.name, span.start, span.end, parent.name, parent.start, parent.end
        ));
    }
}

/// Flow, steps, undos, and below each of these its calls.
fn run(spans: &[Span], by_id: &HashMap<&str, &Span>, expected: &Expected, defects: &mut Vec<String>) {
    let id = expected.run["run_id"].as_str().unwrap_or_default();
    let flows: Vec<&Span> = spans.iter().filter(|span| is(span, "chassis.run.id", id)).collect();
    let [flow] = flows.as_slice() else {
        return defects.push(format!("{} spans of run {id}", flows.len()));
    };
    if by_id.get(flow.parent.as_str()).is_none_or(|parent| parent.kind != SERVER) {
        defects.push(format!("`{}` is not below the edge's span", flow.name));
    }
    if !is(flow, "chassis.outcome", expected.run["state"].as_str().unwrap_or_default()) {
        defects.push(format!("`{}` does not say that the run is {}", flow.name, expected.run["state"]));
    }
    let failed = expected.run["state"] != "completed";
    if flow.failed != failed {
        defects.push(format!(
            "`{}` is {}, and the run is {}",
            flow.name,
            word(flow.failed),
            expected.run["state"]
        ));
    }
    for step in expected.run["steps"].as_array().into_iter().flatten() {
        let name = step["name"].as_str().unwrap_or_default();
        if step["attempts"].as_u64().unwrap_or_default() > 0 {
            below(spans, by_id, flow, &format!("step {name}"), step["state"] == "failed", defects);
        }
        if step["undo"].is_object() && step["undo"]["attempts"] != 0 {
            below(spans, by_id, flow, &format!("undo {name}"), step["undo"]["error"].is_object(), defects);
        }
    }
    for call in spans.iter().filter(|span| span.attributes.contains_key("chassis.operation")) {
        let above = by_id.get(call.parent.as_str()).map(|parent| parent.name.as_str()).unwrap_or_default();
        if !above.starts_with("step ") && !above.starts_with("undo ") {
            defects.push(format!("the call `{}` is below `{above}`, not below a step", call.name));
        }
    }
}

/// One span of this name below the flow (or the processing of its message), with a call below it.
fn below(
    spans: &[Span],
    by_id: &HashMap<&str, &Span>,
    flow: &Span,
    name: &str,
    failed: bool,
    defects: &mut Vec<String>,
) {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    let Some(span) = found.first() else {
        return defects.push(format!("a gap: `{name}` is not there"));
    };
    let parent = by_id.get(span.parent.as_str());
    let placed = parent
        .is_some_and(|parent| parent.id == flow.id || parent.kind == CONSUMER && parent.parent == flow.id);
    if !placed {
        defects.push(format!("`{name}` is not below `{}`", flow.name));
    }
    if !spans.iter().any(|call| call.parent == span.id) {
        defects.push(format!("a gap: there is no call below `{name}`"));
    }
    if found.len() == 1 && span.failed != failed {
        defects.push(format!("`{name}` is {}, and it is {}", word(span.failed), word(failed)));
    }
}

/// An error is where it happened, and above it; nowhere else.
fn errors(spans: &[Span], expected: &Expected, defects: &mut Vec<String>) {
    for span in spans {
        let children: Vec<&Span> = spans.iter().filter(|child| child.parent == span.id).collect();
        match call(span) {
            Some(name) if span.failed && !expected.failing.contains(&name) => {
                defects.push(format!("`{}` ({name}) is failed, and did not fail", span.name));
            }
            Some(_) if span.failed && !span.attributes.contains_key("error.type") => {
                defects.push(format!("`{}` is failed and has no error.type", span.name));
            }
            Some(_) if !span.failed && span.attributes.contains_key("error.type") => {
                defects.push(format!("`{}` is well and has an error.type", span.name));
            }
            // A check of a step fails by itself, above a call that went well: it says with what.
            None if span.failed
                && !span.attributes.contains_key("error.type")
                && !children.is_empty()
                && !children.iter().any(|child| child.failed) =>
            {
                defects.push(format!("`{}` is failed, and nothing below it", span.name));
            }
            _ => {}
        }
    }
    for name in &expected.failing {
        if !spans.iter().any(|span| span.failed && call(span).as_ref() == Some(name)) {
            defects.push(format!("{name} failed, and no span says so"));
        }
    }
}

/// Retries, refusals and messages can be seen.
fn visible(spans: &[Span], expected: &Expected, defects: &mut Vec<String>) {
    let any = |name: &String, what: &dyn Fn(&Span) -> bool| {
        spans.iter().any(|span| call(span).as_ref() == Some(name) && what(span))
    };
    for name in &expected.retried {
        let seen =
            any(name, &|span| span.attributes.get("chassis.attempt").is_some_and(|number| number != "1"));
        if !seen {
            defects.push(format!("{name} was sent again, and no span says so"));
        }
    }
    for name in &expected.refused {
        if !any(name, &|span| is(span, "chassis.outcome", "refused")) {
            defects.push(format!("{name} was refused, and no span says so"));
        }
    }
    let processing: Vec<&Span> = spans.iter().filter(|span| span.kind == CONSUMER).collect();
    if expected.processes != (processing.len() == 1) {
        defects.push(format!("{} spans process a message", processing.len()));
    }
    for span in processing.iter().filter(|span| span.links.is_empty()) {
        defects.push(format!("`{}` links to no message", span.name));
    }
}

/// `instance.operation` of a call's span.
fn call(span: &Span) -> Option<String> {
    let attribute = |name: &str| span.attributes.get(name);
    Some(format!("{}.{}", attribute("chassis.instance")?, attribute("chassis.operation")?))
}

fn is(span: &Span, attribute: &str, value: &str) -> bool {
    span.attributes.get(attribute).is_some_and(|text| text == value)
}

fn word(failed: bool) -> &'static str {
    if failed { "failed" } else { "well" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn span(id: &str, parent: &str, name: &str, kind: u64, attributes: &[(&str, &str)]) -> Span {
        let attributes = attributes.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Span {
            trace: "t".to_owned(),
            id: id.to_owned(),
            parent: parent.to_owned(),
            name: name.to_owned(),
            kind,
            start: 10_000_000,
            end: 20_000_000,
            attributes,
            ..Span::default()
        }
    }

    /// A run with one step.
    fn right() -> (Vec<Span>, Expected) {
        let call = [("chassis.instance", "redis"), ("chassis.operation", "get")];
        let spans = vec![
            span("1", "", "POST /v1/flows/{flow}", SERVER, &[("http.response.status_code", "200")]),
            span("2", "1", "flow f", 1, &[("chassis.run.id", "r"), ("chassis.outcome", "completed")]),
            span("3", "2", "step s", 1, &[]),
            span("4", "3", "get", 3, &call),
        ];
        let run = json!({ "run_id": "r", "state": "completed", "steps": [{ "name": "s", "attempts": 1, "state": "done" }] });
        (spans, Expected { run, status: 200, ..Expected::default() })
    }

    #[test]
    fn a_whole_tree_has_no_defect_and_each_break_is_one() {
        let (spans, expected) = right();
        assert_eq!(defects(&spans, &expected), Vec::<String>::new());
        type Harm = fn(&mut Vec<Span>);
        let breaks: [(&str, Harm); 8] = [
            ("orphan", |spans| spans[3].parent = "9".to_owned()),
            ("a gap", |spans| drop(spans.pop())),
            ("not within", |spans| spans[3].end = 90_000_000),
            ("ends before", |spans| spans[3].end = 1),
            ("did not fail", |spans| spans[3].failed = true),
            ("2 roots", |spans| spans[1].parent.clear()),
            ("is failed, and the run", |spans| spans[1].failed = true),
            ("twice", |spans| spans.push(spans[3].clone())),
        ];
        for (word, harm) in breaks {
            let mut spans = spans.clone();
            harm(&mut spans);
            let found = defects(&spans, &expected);
            assert!(found.iter().any(|line| line.contains(word)), "{word}: {found:?}");
        }
    }

    #[test]
    fn what_is_expected_must_be_seen() {
        let (spans, expected) = right();
        let call = || BTreeSet::from(["redis.get".to_owned()]);
        for (word, wanted) in [
            ("no span says so", Expected { failing: call(), ..expected.clone() }),
            ("sent again", Expected { retried: call(), ..expected.clone() }),
            ("refused", Expected { refused: call(), ..expected.clone() }),
            ("process a message", Expected { processes: true, ..expected.clone() }),
            ("says status", Expected { status: 503, ..expected.clone() }),
        ] {
            let found = defects(&spans, &wanted);
            assert!(found.iter().any(|line| line.contains(word)), "{word}: {found:?}");
        }
    }
}
