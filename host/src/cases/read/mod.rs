//! Reads a case file. It goes on after a mistake, so that all of them are told at once.

mod expect;
mod fault;

use super::model::{Case, CaseFile, Deed, Look};
use super::visible::Visible;
use crate::flow::Flow;
use crate::flow::document::{self, Fields, Node, Problem, Problems, unknown};
use crate::flow::expression::Names;
use crate::flow::model::Work;
use crate::flow::read::{code, condition, target};
use crate::flow::template::Template;
use serde_json::json;
use std::sync::Arc;

const WORDS: &[&str] = &["setup", "attempt_timeout", "states", "case"];
const OF_CASE: &[&str] = &["name", "before", "fault", "input", "idempotency_key", "expect", "state"];
const OF_DEED: &[&str] = &["call", "flow", "input", "idempotency_key"];
const OF_LOOK: &[&str] = &["call", "input", "answer", "exact_answer", "that", "error"];

/// Reads the cases of a flow.
pub fn file(flow: Arc<Flow>, file: &str, text: &str) -> Result<CaseFile, Problems> {
    let document = document::parse(text)?;
    let fields = Fields::of(&document);
    let mut problems = Problems::default();
    fields.only(WORDS, &mut problems);
    let setup = fields.read("setup", &mut problems, |node| {
        node.list()?.iter().map(|node| node.text().map(str::to_owned)).collect()
    });
    let attempt_timeout = fields.read("attempt_timeout", &mut problems, Node::time);
    let nodes = fields.get("case").map_or_else(|| Ok(Vec::new()), |node| node.list());
    let nodes = nodes.map_err(|problem| problem.advice("write it with two brackets: [[case]]"));
    let nodes = problems.keep(nodes).unwrap_or_default();
    if nodes.is_empty() && problems.is_empty() {
        problems.add(fields.problem("there is no case: write [[case]], with `name`, `input` and `expect`"));
    }
    let of_input = flow.input.names();
    let visible = Visible::new(&of_input);
    let states = problems.keep(states(&fields)).unwrap_or_default();
    for (.., node) in &states {
        looks(node, &visible, &mut problems);
    }
    let mut cases: Vec<Case> = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let line = text.get(..node.span().start).unwrap_or_default().matches('\n').count() + 1;
        let Some(mut case) = case(node, &flow, &visible, &states, &mut problems) else { continue };
        (case.at, case.line) = (at, line);
        if let Some(first) = cases.iter().find(|first| first.name == case.name) {
            let message = format!("there is another case of this name in line {}", first.line);
            problems.add(node.deepest(&["name".to_owned()]).problem(message));
        }
        cases.push(case);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let setup = setup.unwrap_or_else(|| vec![super::SETUP.to_owned()]);
    Ok(CaseFile {
        file: file.to_owned(),
        text: Arc::from(text),
        flow: flow.clone(),
        setup,
        attempt_timeout,
        cases,
    })
}

/// `[[states.NAME]]`, with name and place.
type States<'a> = Vec<(&'a str, usize, Node<'a>)>;

fn states<'a>(fields: &Fields<'a>) -> Result<States<'a>, Problem> {
    Ok(fields
        .get("states")
        .map(|node| node.fields())
        .transpose()?
        .map(|fields| fields.in_order())
        .unwrap_or_default())
}

fn case(
    node: &Node<'_>,
    flow: &Flow,
    visible: &Visible<'_>,
    states: &States<'_>,
    problems: &mut Problems,
) -> Option<Case> {
    let fields = problems.keep(node.fields())?;
    fields.only(OF_CASE, problems);
    let name = problems.keep(fields.require("name").and_then(|node| worded(&node)));
    let before = listed(&fields, "before", problems, |node, problems| deed(node, visible.before, problems));
    let faults = listed(&fields, "fault", problems, fault::read);
    let (state, state_of) = match fields.get("state") {
        None => (Vec::new(), None),
        Some(node) => state(&node, visible, states, problems),
    };
    let expect = problems.keep(fields.require("expect"));
    let expect = expect.and_then(|node| expect::read(&node, flow, visible, problems));
    Some(Case {
        at: 0,
        line: 0,
        before,
        faults,
        input: input(&fields, visible.before, problems),
        key: fields.get("idempotency_key").map(|node| Template::compile(&node, visible.before, problems)),
        state,
        state_of,
        name: name?,
        expect: expect?,
    })
}

fn deed(node: &Node<'_>, visible: Names<'_>, problems: &mut Problems) -> Option<Deed> {
    let fields = problems.keep(node.fields())?;
    fields.only(OF_DEED, problems);
    let key = fields.get("idempotency_key");
    let work = match (fields.get("call"), fields.get("flow")) {
        (Some(call), None) => {
            if let Some(node) = &key {
                problems.add(node.problem("belongs to a flow: it is the key of its run"));
            }
            problems.keep(target(&call)).map(Work::Call)
        }
        (None, Some(flow)) => problems.keep(flow.text()).map(|name| Work::Flow(name.to_owned())),
        _ => {
            problems.add(fields.problem("must say `call` or `flow`, one of both"));
            None
        }
    };
    let input = input(&fields, visible, problems);
    Some(Deed { work: work?, input, key: key.map(|node| Template::compile(&node, visible, problems)) })
}

fn look(node: &Node<'_>, visible: &Visible<'_>, problems: &mut Problems) -> Option<Look> {
    let fields = problems.keep(node.fields())?;
    fields.only(OF_LOOK, problems);
    let call = problems.keep(fields.require("call").and_then(|node| target(&node)));
    let template = |name: &str, problems: &mut Problems| {
        fields.get(name).map(|node| Template::compile(&node, visible.after, problems))
    };
    let input = input(&fields, visible.after, problems);
    let (answer, exact_answer) = (template("answer", problems), template("exact_answer", problems));
    let that = fields.read("that", problems, |node| condition(node, visible.answered));
    let error = fields.read("error", problems, code);
    let said = ["answer", "exact_answer", "that"].into_iter().filter_map(|name| fields.get(name)).next();
    match (said, fields.get("error")) {
        (None, None) => {
            let message = "says nothing of the answer: add `answer`, `exact_answer`, `that` or `error`";
            problems.add(fields.problem(message));
        }
        (Some(said), Some(_)) => {
            problems.add(said.problem("there is no answer where the call fails with `error`"))
        }
        _ => {}
    }
    Some(Look { call: call?, input, answer, exact_answer, that, error })
}

fn input(fields: &Fields<'_>, visible: Names<'_>, problems: &mut Problems) -> Template {
    let node = fields.get("input").and_then(|node| {
        problems.keep(node.fields())?;
        Some(node)
    });
    node.map_or_else(|| Template::Literal(json!({})), |node| Template::compile(&node, visible, problems))
}

/// What is looked at: written here, or below `states` with this name.
fn state(
    node: &Node<'_>,
    visible: &Visible<'_>,
    states: &States<'_>,
    problems: &mut Problems,
) -> (Vec<Look>, Option<String>) {
    let Ok(name) = node.text() else { return (looks(node, visible, problems), None) };
    if let Some((.., node)) = states.iter().find(|(known, ..)| *known == name) {
        // What is wrong with them is noted already.
        return (looks(node, visible, &mut Problems::default()), Some(name.to_owned()));
    }
    let known: Vec<&str> = states.iter().map(|(name, ..)| *name).collect();
    problems.add(node.problem(unknown("[[states.NAME]]", name, &known)));
    (Vec::new(), None)
}

fn looks(node: &Node<'_>, visible: &Visible<'_>, problems: &mut Problems) -> Vec<Look> {
    items(node, problems, |node, problems| look(node, visible, problems))
}

fn listed<T>(
    fields: &Fields<'_>,
    name: &str,
    problems: &mut Problems,
    read: impl FnMut(&Node<'_>, &mut Problems) -> Option<T>,
) -> Vec<T> {
    fields.get(name).map(|node| items(&node, problems, read)).unwrap_or_default()
}

fn items<T>(
    node: &Node<'_>,
    problems: &mut Problems,
    mut read: impl FnMut(&Node<'_>, &mut Problems) -> Option<T>,
) -> Vec<T> {
    let list = node.list().map_err(|problem| problem.advice("write it with two brackets: [[…]]"));
    problems.keep(list).unwrap_or_default().iter().filter_map(|node| read(node, problems)).collect()
}

fn worded(node: &Node<'_>) -> Result<String, Problem> {
    let text = node.text()?.trim();
    if text.is_empty() { Err(node.problem("must not be empty")) } else { Ok(text.to_owned()) }
}
