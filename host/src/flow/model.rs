//! A flow as it is declared: what it takes, its steps, what it answers.

use super::document::FlowErrors;
use super::expression::Expression;
use super::read;
use super::schema::Schema;
use super::template::Template;
use super::trigger::Trigger;
use crate::policy::Overrides;
use chassis_abi::Code;
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
    /// The key of a run, made of its input, where the caller brings none. The same key never runs twice.
    pub key: Option<Template>,
    /// What starts runs of it, beside those who ask.
    pub triggers: Vec<Trigger>,
    /// Its file, for messages.
    pub file: String,
    /// What the file says.
    pub text: Arc<str>,
    /// Which version it is: a hash of name and text. A run keeps the one that it was started with.
    pub version: Arc<str>,
}

/// One call of a flow.
#[derive(Debug)]
pub struct Step {
    /// Its name, unique in the flow.
    pub name: String,
    /// What it does.
    pub work: Work,
    /// With which input.
    pub input: Template,
    /// Only if this holds; otherwise it is skipped.
    pub when: Option<Expression>,
    /// Once for each item of a list; then `step.output` is one item's result, and `steps.NAME.output` the list of them.
    pub for_each: Option<ForEach>,
    /// What must hold of its result; of each item's, where there are several.
    pub check: Option<Check>,
    /// What others see as its output, made of `step.output`; without it that itself. `check` and `undo` see what the call answered.
    pub output: Option<Template>,
    /// What its failure means.
    pub on_error: OnError,
    /// Where its call's policies differ from the configured ones.
    pub policy: Option<Arc<Overrides>>,
    /// Where the call fails in a way that may pass, the last answer to the same input is as good, if it is not older than this.
    pub stale_if_error: Option<Duration>,
    /// The steps that must have ended before.
    pub needs: Vec<usize>,
    /// How its effect is taken back.
    pub undo: Undo,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Calls an operation.
    Call(Target),
    /// Runs another flow. That one takes back its own steps, so that such a step has no undo of its own.
    Flow(String),
}

/// A step that is done for each item of a list.
#[derive(Debug)]
pub struct ForEach {
    /// Gives the list. The step sees `item`, and `index` from 0.
    pub items: Expression,
    /// At most so many of them at once.
    pub limit: usize,
}

/// What the failure of a step means; with `for_each`, of each item by itself.
#[derive(Debug)]
pub enum OnError {
    /// The run fails, and what was done is taken back.
    Fail,
    /// The step counts as ended, with `null` as its output (with `for_each`: in the item's place). `steps.NAME.failed` is true, and
    /// `steps.NAME.error` has `code` and `message`. What may have been done all the same is taken back if the run fails.
    Continue,
    /// The same with this as its output, in place of what `output` would have made.
    Value(Template),
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
    /// With this input twice is the same as once, says the flow, whatever the operation does with others.
    pub repeatable: bool,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.role, self.operation)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(target) => target.fmt(f),
            Self::Flow(name) => write!(f, "flow {name}"),
        }
    }
}

impl Work {
    /// What it calls, if it calls.
    pub fn call(&self) -> Option<&Target> {
        match self {
            Self::Call(target) => Some(target),
            Self::Flow(_) => None,
        }
    }
}

impl Flow {
    /// Reads a flow; `file` is for messages.
    ///
    /// # Errors
    /// All that is wrong with the file as such. What it names outside itself is the business of [`super::check`].
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, FlowErrors> {
        read::flow(name, file, text).map_err(|problems| FlowErrors(problems.placed(file, text)))
    }
}
