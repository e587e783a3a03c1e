//! Reads a flow's file. It goes on after a mistake, so that all of them are told at once.

mod step;
mod trigger;

pub(crate) use step::{code, condition, target};

use super::document::{self, Fields, Node, Problem, Problems, unknown};
use super::expression::{Names, OF_RUN};
use super::model::{Flow, Step};
use super::plan;
use super::schema::Schema;
use super::template::Template;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What a flow's file may say.
const WORDS: &[&str] =
    &["description", "input", "deadline", "consumes", "steps", "output", "idempotency", "triggers"];

/// Reads a flow.
pub fn flow(name: &str, file: &str, text: &str) -> Result<Flow, Problems> {
    let document = document::parse(text)?;
    let flow = Fields::of(&document);
    let mut problems = Problems::default();
    flow.only(WORDS, &mut problems);
    let input = flow.get("input").map(|node| Schema::read(&node, &mut problems)).unwrap_or_default();
    let declared = problems.keep(flow.require("steps").and_then(|steps| steps.fields()));
    let declared = declared.map(|steps| steps.in_order()).unwrap_or_default();
    let names: Vec<&str> = declared.iter().map(|(name, ..)| *name).collect();
    let fields = input.names();
    let visible = Names { input: &fields, steps: &names, roots: OF_RUN };
    let mut steps = Vec::new();
    for (name, at, node) in &declared {
        if !is_identifier(name) {
            let message = "a step's name has small letters, digits and _, so that expressions can use it";
            problems.add(Problem::new(node.path(), *at, message));
        }
        let step = step::read(name, node, visible, &mut problems);
        steps.extend(problems.keep(step));
    }
    // With a step missing the positions would be others.
    if steps.len() == names.len() {
        circle(&steps, &declared, &mut problems);
    }
    let consumes = flow.read("consumes", &mut problems, |node| position(node, &names));
    let output = flow.get("output").map(|node| Template::compile(&node, visible, &mut problems));
    let key = flow.get("idempotency").and_then(|node| key(&node, &fields, &mut problems));
    let triggers = flow.get("triggers").map(|node| trigger::all(&node, &mut problems)).unwrap_or_default();
    let description = flow.read("description", &mut problems, |node| node.text().map(str::to_owned));
    let deadline = flow.read("deadline", &mut problems, Node::time);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Flow {
        name: name.to_owned(),
        description: description.unwrap_or_default(),
        deadline,
        steps,
        consumes,
        output: output.unwrap_or(Template::Literal(Value::Null)),
        key,
        triggers,
        file: file.to_owned(),
        text: Arc::from(text),
        version: Arc::from(version(name, text)),
        input,
    })
}

fn version(name: &str, text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(name);
    hash.update([0]);
    hash.update(text);
    format!("{:x}", hash.finalize())
}

fn circle(steps: &[Step], declared: &[(&str, usize, Node<'_>)], problems: &mut Problems) {
    if let Some(circle) = plan::circle(steps) {
        let path: Vec<&str> = circle.iter().map(|at| declared[*at].0).collect();
        let (_, at, node) = &declared[circle[0]];
        problems.add(Problem::new(node.path(), *at, format!("waits for itself: {}", path.join(" → "))));
    }
}

/// `[idempotency]`: the key is made before there is a run, of the input alone.
fn key(node: &Node<'_>, input: &[&str], problems: &mut Problems) -> Option<Template> {
    let fields = problems.keep(node.fields())?;
    fields.only(&["key"], problems);
    let key = problems.keep(fields.require("key"))?;
    problems.keep(key.text())?;
    let compiled = Template::compile(&key, Names { input, steps: &[], roots: &["input"] }, problems);
    if matches!(compiled, Template::Literal(_)) && problems.is_empty() {
        problems.add(key.problem("would be the same for every run: name a field, as in \"${input.email}\""));
    }
    Some(compiled)
}

fn position(node: &Node<'_>, names: &[&str]) -> Result<usize, Problem> {
    let name = node.text()?;
    names.iter().position(|known| *known == name).ok_or_else(|| node.problem(unknown("step", name, names)))
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
}
