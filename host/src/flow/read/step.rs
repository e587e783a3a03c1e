//! Reads a step.

use super::super::document::{Fields, Node, Problem, Problems, unknown};
use super::super::expression::{Expression, Names, OF_RUN};
use super::super::model::{Check, ForEach, OnError, Step, Target, Undo, UndoCall, Work};
use super::super::template::Template;
use super::position;
use crate::policy::Overrides;
use chassis_abi::Code;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a step may say.
const WORDS: &[&str] = &[
    "call",
    "flow",
    "input",
    "after",
    "when",
    "for_each",
    "limit",
    "check",
    "output",
    "on_error",
    "policy",
    "stale_if_error",
    "undo",
];
/// What only a step that calls may say: a flow has its own.
const OF_CALLS: &[&str] = &["undo", "policy", "stale_if_error"];
/// Items at once, where nothing is said.
const LIMIT: usize = 8;
const OF_RESULT: &[&str] = &["input", "steps", "run", "roles", "step"];
const OF_ITEM: &[&str] = &["input", "steps", "run", "roles", "item", "index"];
const OF_ITEM_RESULT: &[&str] = &["input", "steps", "run", "roles", "step", "item", "index"];

/// Reads a step; what is wrong with a part of it is noted, and the step read all the same.
pub fn read(
    name: &str,
    node: &Node<'_>,
    visible: Names<'_>,
    problems: &mut Problems,
) -> Result<Step, Problem> {
    let fields = node.fields()?;
    fields.only(WORDS, problems);
    let for_each = fields.get("for_each").and_then(|node| for_each(&node, &fields, visible, problems));
    let (before, after) = match fields.get("for_each") {
        Some(_) => (OF_ITEM, OF_ITEM_RESULT),
        None => (OF_RUN, OF_RESULT),
    };
    if let (Some(limit), None) = (fields.get("limit"), &for_each) {
        problems.add(limit.problem("limits the items of `for_each`, which is not said"));
    }
    let (before, after) = (Names { roots: before, ..visible }, Names { roots: after, ..visible });
    let work = work(&fields, problems);
    let step = Step {
        name: name.to_owned(),
        input: input(&fields, before, problems),
        when: fields.read("when", problems, |node| condition(node, visible)),
        for_each,
        check: fields.get("check").and_then(|node| check(&node, after, problems)),
        output: fields.get("output").map(|node| Template::compile(&node, after, problems)),
        on_error: fields
            .get("on_error")
            .and_then(|node| on_error(&node, before, problems))
            .unwrap_or(OnError::Fail),
        policy: fields.get("policy").and_then(|node| policy(&node, problems)),
        stale_if_error: fields.read("stale_if_error", problems, Node::time),
        undo: fields.get("undo").and_then(|node| undo(&node, after, problems)).unwrap_or(Undo::Unsaid),
        needs: Vec::new(),
        work: work?,
    };
    let mut needs: BTreeSet<usize> = BTreeSet::new();
    for used in used_steps(&step) {
        needs.extend(visible.steps.iter().position(|name| **name == used));
    }
    if needs.contains(&visible.steps.iter().position(|other| *other == name).unwrap_or(usize::MAX)) {
        let message = format!("uses its own result: write `step.output` instead of `steps.{name}.output`");
        return Err(node.problem(message));
    }
    let after = fields.read("after", problems, Node::list).unwrap_or_default();
    needs.extend(after.iter().filter_map(|node| problems.keep(position(node, visible.steps))));
    Ok(Step { needs: needs.into_iter().collect(), ..step })
}

/// Every step that an expression of this one looks at, in its undo too: what undo needs must be known before the effect.
fn used_steps(step: &Step) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut conditions: Vec<&Expression> = step.when.iter().collect();
    let mut templates = vec![&step.input];
    conditions.extend(step.for_each.as_ref().map(|each| &each.items));
    templates.extend(&step.output);
    if let Some(check) = &step.check {
        conditions.push(&check.that);
        templates.push(&check.message);
    }
    if let OnError::Value(value) = &step.on_error {
        templates.push(value);
    }
    if let Undo::Call(undo) = &step.undo {
        templates.push(&undo.input);
        conditions.extend(&undo.when);
    }
    templates.into_iter().for_each(|template| template.steps(&mut used));
    used.extend(conditions.into_iter().flat_map(|condition| condition.steps().iter().cloned()));
    used
}

fn work(fields: &Fields<'_>, problems: &mut Problems) -> Result<Work, Problem> {
    match (fields.get("call"), fields.get("flow")) {
        (None, None) => Err(fields.problem("`call` is missing")),
        (Some(call), None) => target(&call).map(Work::Call),
        (Some(_), Some(flow)) => Err(flow.problem("a step has `call` or `flow`, not both")),
        (None, Some(flow)) => {
            for node in OF_CALLS.iter().filter_map(|word| fields.get(word)) {
                problems.add(node.problem("stands beside `call` only: a flow says this of its own steps"));
            }
            Ok(Work::Flow(flow.text()?.to_owned()))
        }
    }
}

fn for_each(
    node: &Node<'_>,
    fields: &Fields<'_>,
    visible: Names<'_>,
    problems: &mut Problems,
) -> Option<ForEach> {
    let limit = fields.read("limit", problems, |node| node.number(1));
    let items = problems.keep(condition(node, visible))?;
    Some(ForEach { items, limit: limit.map_or(LIMIT, |limit| limit as usize) })
}

fn check(node: &Node<'_>, visible: Names<'_>, problems: &mut Problems) -> Option<Check> {
    let fields = problems.keep(node.fields())?;
    fields.only(&["that", "code", "message"], problems);
    let that = problems.keep(fields.require("that").and_then(|node| condition(&node, visible)));
    let code = problems.keep(fields.require("code").and_then(|node| code(&node)));
    let message = problems.keep(fields.require("message"));
    let message = message.map(|node| Template::compile(&node, visible, problems));
    Some(Check { that: that?, code: code?, message: message? })
}

/// A canonical code.
pub fn code(node: &Node<'_>) -> Result<Code, Problem> {
    let name = node.text()?;
    let names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let found = Code::ALL.iter().find(|code| code.as_str() == name);
    found.copied().ok_or_else(|| node.problem(unknown("code", name, &names)))
}

fn on_error(node: &Node<'_>, visible: Names<'_>, problems: &mut Problems) -> Option<OnError> {
    if let Ok(word) = node.text() {
        return match word {
            "fail" => Some(OnError::Fail),
            "continue" => Some(OnError::Continue),
            _ => {
                let choices = unknown("way to go on", word, &["fail", "continue"]);
                problems.add(node.problem(format!("{choices}; or a table: {{ value = … }}")));
                None
            }
        };
    }
    let fields = problems.keep(node.fields())?;
    fields.only(&["value"], problems);
    let value = problems.keep(fields.require("value"))?;
    Some(OnError::Value(Template::compile(&value, visible, problems)))
}

fn policy(node: &Node<'_>, problems: &mut Problems) -> Option<Arc<Overrides>> {
    let mut overrides = Overrides::default();
    for (name, at, node) in problems.keep(node.fields())?.in_order() {
        let Some(value) = problems.keep(node.json()) else { continue };
        if let Err(message) = overrides.set(name, &value) {
            let at = if Overrides::FIELDS.contains(&name) { node.span().start } else { at };
            problems.add(Problem::new(node.path(), at, message));
        }
    }
    Some(Arc::new(overrides))
}

fn undo(node: &Node<'_>, visible: Names<'_>, problems: &mut Problems) -> Option<Undo> {
    if let Ok(word) = node.text() {
        if word != "none" {
            problems.add(node.problem("must be a table with `call` and `input`, or \"none\""));
        }
        return Some(Undo::Nothing);
    }
    let fields = problems.keep(node.fields())?;
    fields.only(&["call", "input", "when", "repeatable"], problems);
    let call = problems.keep(fields.require("call").and_then(|node| target(&node)));
    let input = input(&fields, visible, problems);
    let when = fields.read("when", problems, |node| condition(node, visible));
    let repeatable = fields.read("repeatable", problems, Node::flag).unwrap_or_default();
    Some(Undo::Call(Box::new(UndoCall { call: call?, input, when, repeatable })))
}

/// `ROLE.OPERATION`.
pub fn target(node: &Node<'_>) -> Result<Target, Problem> {
    match node.text()?.split_once('.') {
        Some((role, operation)) if !role.is_empty() && !operation.is_empty() => {
            Ok(Target { role: role.to_owned(), operation: operation.to_owned() })
        }
        _ => Err(node.problem("must name a role and an operation: `users.insert`")),
    }
}

fn input(fields: &Fields<'_>, visible: Names<'_>, problems: &mut Problems) -> Template {
    let empty = || Template::Literal(serde_json::json!({}));
    let node = fields.read("input", problems, |node| node.fields().map(|_| node.clone()));
    node.map_or_else(empty, |node| Template::compile(&node, visible, problems))
}

/// A condition is an expression; `${…}` around it is taken off.
pub fn condition(node: &Node<'_>, visible: Names<'_>) -> Result<Expression, Problem> {
    let text = node.text()?.trim();
    let code = text.strip_prefix("${").and_then(|code| code.strip_suffix('}')).unwrap_or(text).trim();
    Expression::compile(code, visible).map_err(|reason| node.problem(reason).about(node.span(), code))
}
