//! A flow as it is declared: what it takes, its steps, what it answers.

use super::document::{self, Fields, FlowError, Node, Problem, unknown};
use super::expression::{Expression, Names};
use super::plan;
use super::schema::Schema;
use super::template::Template;
use chassis_abi::Code;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A business operation, declared as data.
#[derive(Debug)]
pub struct Flow {
    /// Its name: the file's, without `.toml`.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// What it takes.
    pub input: Schema,
    /// Its steps, in the order of the file.
    pub steps: Vec<Step>,
    /// The step that takes a message from a queue; what depends on it is the processing of that message.
    pub consumes: Option<usize>,
    /// How long a run may take before its undo begins.
    pub deadline: Option<Duration>,
    /// What it answers.
    pub output: Template,
    /// Its file.
    pub text: Arc<str>,
    /// Which version it is: a hash of name and text. A run keeps the one that it was started with.
    pub version: Arc<str>,
}

/// One call of a flow.
#[derive(Debug)]
pub struct Step {
    /// Its name, unique in the flow.
    pub name: String,
    /// What it calls.
    pub call: Target,
    /// With which input.
    pub input: Template,
    /// Only if this holds; otherwise it is skipped.
    pub when: Option<Expression>,
    /// What must hold of its result.
    pub check: Option<Check>,
    /// The steps that must have ended before.
    pub needs: Vec<usize>,
    /// How its effect is taken back.
    pub undo: Undo,
}

/// An operation of the instance that plays a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The role: `users`.
    pub role: String,
    /// The operation, with its contract where the name alone says too little: `insert`, `cache.get`.
    pub operation: String,
}

/// A condition on a step's result. Its effect has happened, so that a step that fails here is undone too.
#[derive(Debug)]
pub struct Check {
    /// What must hold.
    pub that: Expression,
    /// The code of the failure.
    pub code: Code,
    /// Its message.
    pub message: Template,
}

/// How the effect of a step is taken back.
#[derive(Debug)]
pub enum Undo {
    /// Nothing is said.
    Unsaid,
    /// `undo = "none"`: there is nothing to take back.
    Nothing,
    /// By a call.
    Call(Box<UndoCall>),
}

/// The call that takes the effect of a step back. It must do no harm where there was no effect.
#[derive(Debug)]
pub struct UndoCall {
    /// What it calls.
    pub call: Target,
    /// With which input; sees `step.input` and `step.output` (`null` where the result is not known).
    pub input: Template,
    /// Only if this holds.
    pub when: Option<Expression>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.role, self.operation)
    }
}

impl Flow {
    /// Reads a flow; `file` is for messages.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, FlowError> {
        read(name, text).map_err(|problem| problem.placed(file, text))
    }
}

fn read(name: &str, text: &str) -> Result<Flow, Problem> {
    let document = document::parse(text)?;
    let flow = Fields::of(&document);
    flow.only(&["description", "input", "deadline_ms", "consumes", "steps", "output"])?;
    let input = flow.get("input").map(|node| Schema::read(&node)).transpose()?.unwrap_or_default();
    let declared = flow.require("steps")?.fields()?.in_order();
    let names: Vec<&str> = declared.iter().map(|(name, ..)| *name).collect();
    let visible = Names { input: &input.names(), steps: &names, step: false };
    let mut steps = Vec::new();
    for (name, at, node) in &declared {
        if !is_identifier(name) {
            let message = "a step's name has small letters, digits and _, so that expressions can use it";
            return Err(Problem::new(node.path(), *at, message));
        }
        steps.push(step(name, node, visible)?);
    }
    if let Some(circle) = plan::circle(&steps) {
        let path: Vec<&str> = circle.iter().map(|at| names[*at]).collect();
        let (_, at, node) = &declared[circle[0]];
        return Err(Problem::new(node.path(), *at, format!("waits for itself: {}", path.join(" → "))));
    }
    let consumes = match flow.get("consumes") {
        Some(node) => Some(position(&node, &names)?),
        None => None,
    };
    let output = match flow.get("output") {
        Some(node) => Template::compile(&node, visible)?,
        None => Template::Literal(serde_json::Value::Null),
    };
    Ok(Flow {
        name: name.to_owned(),
        description: text_of(&flow, "description")?.unwrap_or_default(),
        deadline: match flow.get("deadline_ms") {
            Some(node) => match node.json()?.as_u64() {
                Some(ms) => Some(Duration::from_millis(ms)),
                None => return Err(node.problem("must be a number of milliseconds")),
            },
            None => None,
        },
        input,
        steps,
        consumes,
        output,
        version: Arc::from(version(name, text)),
        text: Arc::from(text),
    })
}

fn version(name: &str, text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(name);
    hash.update([0]);
    hash.update(text);
    format!("{:x}", hash.finalize())
}

fn step(name: &str, node: &Node<'_>, visible: Names<'_>) -> Result<Step, Problem> {
    let fields = node.fields()?;
    fields.only(&["call", "input", "after", "when", "check", "undo"])?;
    let inside = Names { step: true, ..visible };
    let step = Step {
        name: name.to_owned(),
        call: target(&fields.require("call")?)?,
        input: input(&fields, visible)?,
        when: condition(fields.get("when"), visible)?,
        check: fields.get("check").map(|node| check(&node, inside)).transpose()?,
        undo: fields.get("undo").map(|node| undo(&node, inside)).transpose()?.unwrap_or(Undo::Unsaid),
        needs: Vec::new(),
    };
    let mut needs: BTreeSet<usize> = BTreeSet::new();
    for used in used_steps(&step) {
        needs.extend(visible.steps.iter().position(|name| **name == used));
    }
    if needs.contains(&visible.steps.iter().position(|other| *other == name).unwrap_or(usize::MAX)) {
        let message = format!("uses its own result: write `step.output` instead of `steps.{name}.output`");
        return Err(node.problem(message));
    }
    for node in fields.get("after").map(|node| node.list()).transpose()?.unwrap_or_default() {
        needs.insert(position(&node, visible.steps)?);
    }
    Ok(Step { needs: needs.into_iter().collect(), ..step })
}

/// Every step that an expression of this one looks at, in its undo too: what undo needs must be known before the effect.
fn used_steps(step: &Step) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    step.input.steps(&mut used);
    let mut conditions: Vec<&Expression> = step.when.iter().collect();
    if let Some(check) = &step.check {
        conditions.push(&check.that);
        check.message.steps(&mut used);
    }
    if let Undo::Call(undo) = &step.undo {
        undo.input.steps(&mut used);
        conditions.extend(&undo.when);
    }
    used.extend(conditions.into_iter().flat_map(|condition| condition.steps().iter().cloned()));
    used
}

fn check(node: &Node<'_>, visible: Names<'_>) -> Result<Check, Problem> {
    let fields = node.fields()?;
    fields.only(&["that", "code", "message"])?;
    let code = fields.require("code")?;
    let name = code.text()?;
    let names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let found = Code::ALL.iter().find(|code| code.as_str() == name);
    let that = condition(Some(fields.require("that")?), visible)?;
    Ok(Check {
        that: that.ok_or_else(|| fields.problem("`that` is missing"))?,
        code: *found.ok_or_else(|| code.problem(unknown("code", name, &names)))?,
        message: Template::compile(&fields.require("message")?, visible)?,
    })
}

fn undo(node: &Node<'_>, visible: Names<'_>) -> Result<Undo, Problem> {
    if let Ok(word) = node.text() {
        return match word {
            "none" => Ok(Undo::Nothing),
            _ => Err(node.problem("must be a table with `call` and `input`, or \"none\"")),
        };
    }
    let fields = node.fields()?;
    fields.only(&["call", "input", "when"])?;
    Ok(Undo::Call(Box::new(UndoCall {
        call: target(&fields.require("call")?)?,
        input: input(&fields, visible)?,
        when: condition(fields.get("when"), visible)?,
    })))
}

fn target(node: &Node<'_>) -> Result<Target, Problem> {
    match node.text()?.split_once('.') {
        Some((role, operation)) if !role.is_empty() && !operation.is_empty() => {
            Ok(Target { role: role.to_owned(), operation: operation.to_owned() })
        }
        _ => Err(node.problem("must name a role and an operation: `users.insert`")),
    }
}

fn input(fields: &Fields<'_>, visible: Names<'_>) -> Result<Template, Problem> {
    match fields.get("input") {
        Some(node) => {
            node.fields()?;
            Template::compile(&node, visible)
        }
        None => Ok(Template::Literal(serde_json::json!({}))),
    }
}

/// A condition is an expression; `${…}` around it is taken off.
fn condition(node: Option<Node<'_>>, visible: Names<'_>) -> Result<Option<Expression>, Problem> {
    let Some(node) = node else { return Ok(None) };
    let text = node.text()?.trim();
    let code = text.strip_prefix("${").and_then(|code| code.strip_suffix('}')).unwrap_or(text);
    Expression::compile(code.trim(), visible).map(Some).map_err(|reason| node.problem(reason))
}

fn position(node: &Node<'_>, names: &[&str]) -> Result<usize, Problem> {
    let name = node.text()?;
    names.iter().position(|known| *known == name).ok_or_else(|| node.problem(unknown("step", name, names)))
}

fn text_of(fields: &Fields<'_>, name: &str) -> Result<Option<String>, Problem> {
    fields.get(name).map(|node| node.text().map(str::to_owned)).transpose()
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
}
