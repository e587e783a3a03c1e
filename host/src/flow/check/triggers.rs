//! Checks what starts a flow.

use super::Checker;
use super::fit::missing;
use super::infer::Known;
use super::types::{Kinds, Type};
use crate::flow::document::{self, Fields, Node, unknown};
use crate::flow::model::Flow;
use crate::flow::trigger::{CONSUME, Kind, Route, Source, Trigger};

impl Checker<'_> {
    /// Checks all triggers of a flow.
    pub(super) fn triggers(&mut self, flow: &Flow) {
        let Ok(document) = document::parse(&flow.text) else { return };
        let nodes = Fields::of(&document).get("triggers").and_then(|node| node.list().ok());
        for (node, trigger) in nodes.unwrap_or_default().iter().zip(&flow.triggers) {
            let Ok(fields) = node.fields() else { continue };
            let mut known = Known::default();
            known.set("roles", self.roles());
            match &trigger.kind {
                Kind::Http(route) => {
                    self.route(flow, route, &fields);
                    known.set("request", request(route));
                }
                Kind::Queue(source) => known.set("message", self.message(source, &fields)),
                Kind::Schedule(_) => {
                    known.set("tick", Type::object([("at".to_owned(), Kinds::STRING.into())]));
                }
                Kind::Start => {}
            }
            self.trigger_input(flow, trigger, node, &fields, &known);
        }
    }

    fn trigger_input(
        &mut self,
        flow: &Flow,
        trigger: &Trigger,
        at: &Node<'_>,
        fields: &Fields<'_>,
        known: &Known,
    ) {
        let schema = flow.input.json_schema();
        match (&trigger.input, fields.get("input")) {
            (Some(input), Some(node)) => self.fit(known).value(&node, input, &schema),
            // Then it is the body, of which nothing is known.
            _ if matches!(trigger.kind, Kind::Http(_) | Kind::Queue(_)) => {}
            _ => {
                for name in missing([].into_iter(), &schema) {
                    self.problems.add(at.problem(format!("`input` is missing: the flow wants `{name}`")));
                }
            }
        }
    }

    /// The message that a broker brings.
    fn message(&mut self, source: &Source, fields: &Fields<'_>) -> Type {
        let Some(node) = fields.get("role") else { return Type::ANY };
        let player = match self.world.player(&source.role) {
            None => {
                let message = unknown("role or instance", &source.role, &self.world.roles());
                self.problems.add(node.problem(message));
                return Type::ANY;
            }
            Some(None) => return Type::ANY,
            Some(Some(player)) => player,
        };
        match player.operation(CONSUME) {
            Ok(consume) => consume.item.as_ref().map_or(Type::ANY, Type::of),
            Err(_) => {
                let message =
                    format!("`{}` has no queues: it does not implement the contract `queue`", source.role);
                self.problems.add(node.problem(message));
                Type::ANY
            }
        }
    }

    fn route(&mut self, flow: &Flow, route: &Route, fields: &Fields<'_>) {
        let Some(node) = fields.get("path") else { return };
        if crate::edge::takes(&route.path) {
            let message = format!("`{}` belongs to the host itself; begin with something else", route.path);
            self.problems.add(node.problem(message));
        }
        let same = |other: &Trigger| matches!(&other.kind, Kind::Http(other) if other.meets(route));
        let others = self.flows.iter().filter(|other| other.name != flow.name);
        if let Some(other) = others.into_iter().find(|other| other.triggers.iter().any(same)) {
            let message =
                format!("`{} {}` starts the flow `{}` already", route.method, route.path, other.name);
            self.problems.add(node.problem(message));
        } else if flow.triggers.iter().filter(|trigger| same(trigger)).count() > 1 {
            self.problems.add(node.problem(format!("`{} {}` is said twice", route.method, route.path)));
        }
    }
}

fn request(route: &Route) -> Type {
    let text = || Type::from(Kinds::STRING);
    let texts =
        || Type::of(&serde_json::json!({ "type": "object", "additionalProperties": { "type": "string" } }));
    Type::object([
        ("body".to_owned(), Type::ANY),
        ("path".to_owned(), Type::object(route.parameters().map(|name| (name.to_owned(), text())))),
        ("query".to_owned(), texts()),
        ("headers".to_owned(), texts()),
    ])
}
