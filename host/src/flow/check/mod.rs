//! Everything that can be found wrong with a flow before it runs: whether what it names is there, and whether what it sends fits.
//!
//! What a file says as such is checked when it is read. Here it is held against the instances' manifests and the other flows; nothing
//! is opened, nothing is called.

mod fit;
mod infer;
mod step;
mod triggers;
mod types;
mod world;

pub use world::{Player, World};

use super::document::{self, Fields, FlowErrors, Node, Problem, Problems};
use super::model::Flow;
use super::set::FlowSet;
use super::template::Template;
use fit::Fit;
use infer::Known;
use serde_json::Value;
use std::collections::HashMap;
use types::{Kinds, Type};

/// Checks a flow among others, which may be its sub-flows.
///
/// # Errors
/// All that is wrong.
pub fn check_one<'a>(flow: &'a Flow, world: &'a World, flows: &'a FlowSet) -> Result<(), FlowErrors> {
    let mut checker = Checker { world, flows, around: vec![&flow.name], problems: Problems::default() };
    checker.flow(flow);
    checker.triggers(flow);
    let wrong = FlowErrors(checker.problems.placed(&flow.file, &flow.text));
    if wrong.0.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Checks all flows of a set.
///
/// # Errors
/// All that is wrong with any of them.
pub fn check_all(world: &World, flows: &FlowSet) -> Result<(), FlowErrors> {
    let wrong = flows.iter().filter_map(|flow| check_one(flow, world, flows).err());
    let wrong: Vec<_> = wrong.flat_map(|wrong| wrong.0).collect();
    if wrong.is_empty() { Ok(()) } else { Err(FlowErrors(wrong)) }
}

/// Checks a value by itself against a schema, as far as that can be said where nothing is known of what its expressions see.
pub fn fits(node: &Node<'_>, template: &Template, schema: &Value, problems: &mut Problems) {
    Fit { known: &Known::default(), problems }.value(node, template, schema);
}

struct Checker<'a> {
    world: &'a World,
    flows: &'a FlowSet,
    /// The flows that this one is a part of, the outermost first.
    around: Vec<&'a str>,
    problems: Problems,
}

impl<'a> Checker<'a> {
    /// Checks steps and output; answers what the flow answers.
    fn flow(&mut self, flow: &Flow) -> Type {
        // It was read before: it can be read again.
        let Ok(document) = document::parse(&flow.text) else { return Type::ANY };
        let fields = Fields::of(&document);
        let mut known = self.beginning(flow);
        if let (Some(key), Some(node)) = (&flow.key, fields.path(&["idempotency", "key"])) {
            self.fit(&known).sound(&node, key);
        }
        let declared = fields.get("steps").and_then(|steps| steps.fields().ok());
        let declared = declared.map(|steps| steps.in_order()).unwrap_or_default();
        let declared: HashMap<_, _> =
            declared.iter().map(|(name, place, node)| (&**name, (*place, node))).collect();
        for at in order(flow) {
            let step = &flow.steps[at];
            if let Some((place, node)) = declared.get(&*step.name) {
                self.step(step, *place, node, &mut known);
            }
        }
        if let Some(node) = fields.get("output") {
            self.fit(&known).sound(&node, &flow.output);
        }
        known.template(&flow.output)
    }

    /// What every expression of a flow sees.
    fn beginning(&self, flow: &Flow) -> Known {
        let text = || Type::from(Kinds::STRING);
        let mut known = Known::default();
        known.set("input", Type::of(&flow.input.json_schema()));
        let run = [("id".to_owned(), text()), ("started_at".to_owned(), text())];
        known.set("run", Type::object(run));
        known.set("roles", self.roles());
        known
    }

    fn roles(&self) -> Type {
        Type::object(self.world.roles().into_iter().map(|role| (role.to_owned(), Kinds::STRING.into())))
    }

    fn fit<'f>(&'f mut self, known: &'f Known) -> Fit<'f> {
        Fit { known, problems: &mut self.problems }
    }

    /// Adds what is wrong with a value that stands at a field's name.
    fn wrong(&mut self, path: &str, at: usize, message: String) {
        self.problems.add(Problem::new(path, at, message));
    }
}

/// The steps so that each comes after those that it needs.
fn order(flow: &Flow) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(flow.steps.len());
    let mut placed = vec![false; flow.steps.len()];
    loop {
        let before = order.len();
        for (at, step) in flow.steps.iter().enumerate() {
            if !placed[at] && step.needs.iter().all(|need| placed[*need]) {
                placed[at] = true;
                order.push(at);
            }
        }
        if order.len() == before {
            return order;
        }
    }
}
