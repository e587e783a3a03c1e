//! Holds cases against what there is: instances, their operations, and flows.

use super::model::{CaseFile, Deed, Look};
use crate::faults::FaultSpec;
use crate::flow::FlowSet;
use crate::flow::check::{World, check_one, fits};
use crate::flow::document::{self, Fields, FlowErrors, Node, Problems, unknown};
use crate::flow::model::{Target, Work};
use crate::flow::template::Template;
use chassis_abi::manifest::Operation;
use serde_json::Value;

/// Checks the cases of a file, and the flow that they are about.
///
/// # Errors
/// All that is wrong.
pub fn check(file: &CaseFile, world: &World, flows: &FlowSet) -> Result<(), FlowErrors> {
    let mut checker = Checker { world, flows, problems: Problems::default() };
    // It was read before: it can be read again.
    if let Ok(document) = document::parse(&file.text) {
        checker.file(file, &Fields::of(&document));
    }
    let mut wrong = checker.problems.placed(&file.file, &file.text);
    wrong.extend(check_one(&file.flow, world, flows).err().into_iter().flat_map(|errors| errors.0));
    if wrong.is_empty() { Ok(()) } else { Err(FlowErrors(wrong)) }
}

struct Checker<'a> {
    world: &'a World,
    flows: &'a FlowSet,
    problems: Problems,
}

impl<'a> Checker<'a> {
    fn file(&mut self, file: &CaseFile, fields: &Fields<'_>) {
        if let Some(node) = fields.get("setup") {
            for (name, node) in file.setup.iter().zip(node.list().unwrap_or_default()) {
                self.flow(name, &node);
            }
        }
        for case in &file.cases {
            let listed = |name: &str| {
                let way = case.way(&[name.to_owned()]);
                fields.deepest(&way).and_then(|node| node.list().ok()).unwrap_or_default().into_iter()
            };
            for (deed, node) in case.before.iter().zip(listed("before")) {
                self.deed(deed, &node);
            }
            for (fault, node) in case.faults.iter().zip(listed("fault")) {
                self.fault(fault, &node);
            }
            for (look, node) in case.state.iter().zip(listed("state")) {
                self.look(look, &node);
            }
        }
    }

    fn deed(&mut self, deed: &Deed, node: &Node<'_>) {
        match &deed.work {
            Work::Call(target) => self.call(target, &deed.input, node),
            Work::Flow(name) => {
                self.flow(name, &under(node, "flow"));
                if let Some(flow) = self.flows.find(name) {
                    self.input(&deed.input, &flow.input.json_schema(), node);
                }
            }
        }
    }

    fn look(&mut self, look: &Look, node: &Node<'_>) {
        // A call that is to fail may well be wrong.
        if look.error.is_none() {
            self.call(&look.call, &look.input, node);
        } else {
            self.operation(&look.call.role, &look.call.operation, &under(node, "call"));
        }
    }

    fn fault(&mut self, fault: &FaultSpec, node: &Node<'_>) {
        match (&fault.instance, &fault.operation) {
            (Some(instance), Some(operation)) if self.world.player(instance).is_some() => {
                self.operation(instance, operation, &under(node, "operation"));
            }
            (Some(instance), _) => self.player(instance, &under(node, "instance")),
            (None, Some(operation)) => {
                let has = |role: &&str| {
                    self.world
                        .player(role)
                        .flatten()
                        .is_some_and(|player| player.operation(operation).is_ok())
                };
                if !self.world.roles().iter().any(has) {
                    let message = format!(
                        "no instance has an operation `{operation}`; say `instance` to be told the nearest"
                    );
                    self.problems.add(under(node, "operation").problem(message));
                }
            }
            (None, None) => {}
        }
    }

    fn call(&mut self, target: &Target, input: &Template, node: &Node<'_>) {
        let call = under(node, "call");
        let Some(operation) = self.operation(&target.role, &target.operation, &call) else { return };
        if operation.item.is_some() || operation.upload {
            self.problems.add(call.problem(format!("`{target}` is a stream, which a case cannot call")));
        }
        self.input(input, &operation.input, node);
    }

    fn input(&mut self, input: &Template, schema: &Value, node: &Node<'_>) {
        fits(&under(node, "input"), input, schema, &mut self.problems);
    }

    fn player(&mut self, role: &str, node: &Node<'_>) {
        if self.world.player(role).is_none() {
            let message = unknown("role or instance", role, &self.world.roles());
            self.problems.add(node.problem(message));
        }
    }

    fn operation(&mut self, role: &str, name: &str, node: &Node<'_>) -> Option<&'a Operation> {
        self.player(role, node);
        match self.world.player(role)??.operation(name) {
            Ok(operation) => Some(operation),
            Err(message) => {
                self.problems.add(node.problem(message));
                None
            }
        }
    }

    fn flow(&mut self, name: &str, node: &Node<'_>) {
        if self.flows.find(name).is_none() {
            self.problems.add(node.problem(unknown("flow", name, &self.flows.names())));
        }
    }
}

/// A field of a table, or the table where it does not say it.
fn under<'a>(node: &Node<'a>, field: &str) -> Node<'a> {
    node.deepest(&[field.to_owned()])
}
