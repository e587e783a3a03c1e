//! What the expressions of a case see.

use crate::flow::expression::Names;
use crate::flow::scope::Scope;
use serde_json::{Value, json};

/// Before the run: what the deeds before answered, in their order.
const BEFORE: &[&str] = &["before"];
/// After it: its input, output and id too.
const AFTER: &[&str] = &["before", "input", "output", "run"];
/// In the `that` of a look: what the call answered.
const ANSWERED: &[&str] = &["before", "input", "output", "run", "answer"];

/// The names that each place of a case may use.
pub struct Visible<'a> {
    /// In what goes into the run.
    pub before: Names<'a>,
    /// In what is expected of it.
    pub after: Names<'a>,
    /// In what must hold of an answer.
    pub answered: Names<'a>,
}

impl<'a> Visible<'a> {
    /// Of cases of a flow that takes these fields.
    pub fn new(input: &'a [&'a str]) -> Self {
        let names = |roots| Names { input, steps: &[], roots };
        Self { before: names(BEFORE), after: names(AFTER), answered: names(ANSWERED) }
    }
}

/// What is known when these deeds were done.
pub fn before(answers: &[Value]) -> Scope {
    Scope::default().with("before", &json!(answers))
}

/// What is known when the run ended too.
pub fn after(scope: Scope, input: &Value, output: &Value, run: &Value) -> Scope {
    scope.with("input", input).with("output", output).with("run", run)
}
