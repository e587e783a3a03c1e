//! Checks a step: its call, what goes into it, and how it is taken back.

use super::Checker;
use super::fit::missing;
use super::infer::Known;
use super::types::{Kinds, Type};
use crate::flow::document::{Fields, Node, Problems, unknown};
use crate::flow::model::{OnError, Step, Target, Undo, UndoCall, Work};
use crate::flow::template::Template;
use chassis_abi::manifest::{Effect, Operation};
use serde_json::Value;

impl<'a> Checker<'a> {
    /// Checks a step whose name stands at byte `at`, and makes its result known.
    pub(super) fn step(&mut self, step: &Step, at: usize, node: &Node<'_>, known: &mut Known) {
        let Ok(fields) = node.fields() else { return };
        if let (Some(when), Some(node)) = (&step.when, fields.get("when")) {
            self.fit(known).expression(&node, when, Kinds::BOOLEAN, "true or false");
        }
        let mut before = known.clone();
        if let (Some(each), Some(node)) = (&step.for_each, fields.get("for_each")) {
            let items = self.fit(known).expression(&node, &each.items, Kinds::ARRAY, "a list");
            before = before.with("item", items.items()).with("index", Kinds::INTEGER.into());
        }
        let output = match &step.work {
            Work::Call(target) => self.call(step, target, at, &fields, &before),
            Work::Flow(name) => self.sub_flow(step, name, at, &fields, &before),
        };
        let input = before.template(&step.input);
        let result = |output| {
            let fields = [("input".to_owned(), input.clone()), ("output".to_owned(), output)];
            before.with("step", Type::object(fields))
        };
        let after = result(output.clone());
        if let (Some(check), Some(node)) = (&step.check, fields.get("check"))
            && let Ok(fields) = node.fields()
        {
            if let Some(node) = fields.get("that") {
                self.fit(&after).expression(&node, &check.that, Kinds::BOOLEAN, "true or false");
            }
            if let Some(node) = fields.get("message") {
                self.fit(&after).sound(&node, &check.message);
            }
        }
        if let (Undo::Call(undo), Some(node)) = (&step.undo, fields.get("undo"))
            && let Ok(fields) = node.fields()
        {
            // It may be asked for when nobody knows what the call answered.
            self.undo(undo, &fields, &result(output.clone().or_null()));
        }
        let seen = self.seen(step, output, &fields, &before, &after);
        // Else what is known of all steps would be copied for what is added.
        drop((before, after));
        let text = || Type::from(Kinds::STRING);
        let error = [("code".to_owned(), text()), ("message".to_owned(), text())];
        let input = if step.for_each.is_some() { Type::ANY } else { input.or_null() };
        known.set_step(&step.name, "input", input);
        known.set_step(&step.name, "output", seen);
        known.set_step(&step.name, "skipped", Kinds::BOOLEAN.into());
        known.set_step(&step.name, "failed", Kinds::BOOLEAN.into());
        known.set_step(&step.name, "error", Type::object(error).or_null());
    }

    /// What others see as the step's output.
    fn seen(
        &mut self,
        step: &Step,
        output: Type,
        fields: &Fields<'_>,
        before: &Known,
        after: &Known,
    ) -> Type {
        let mut seen = output;
        if let (Some(mapped), Some(node)) = (&step.output, fields.get("output")) {
            self.fit(after).sound(&node, mapped);
            seen = after.template(mapped);
        }
        match &step.on_error {
            OnError::Fail => {}
            OnError::Continue => seen = seen.or_null(),
            OnError::Value(value) => {
                if let Some(node) = fields.path(&["on_error", "value"]) {
                    self.fit(before).sound(&node, value);
                }
                seen = seen.or(before.template(value));
            }
        }
        if step.for_each.is_some() {
            seen = Type::list(seen);
        }
        if step.when.is_some() { seen.or_null() } else { seen }
    }

    fn call(&mut self, step: &Step, target: &Target, at: usize, fields: &Fields<'_>, known: &Known) -> Type {
        let Some(node) = fields.get("call") else { return Type::ANY };
        let Some(operation) = self.operation(target, &node) else {
            self.input_alone(&step.input, fields, known);
            return Type::ANY;
        };
        if operation.item.is_some() || operation.upload {
            let way = if operation.upload { "takes" } else { "answers with" };
            self.problems.add(node.problem(format!("`{target}` {way} a stream, which a step cannot")));
        }
        self.input(&step.input, &operation.input, at, fields, known);
        if operation.effect == Effect::Write && matches!(step.undo, Undo::Unsaid) {
            let message = format!(
                "`{target}` has an effect, and nothing says how it is taken back; say `undo = {{ call = …, input = … }}`, or `undo = \"none\"` if it may stay"
            );
            self.wrong(fields.at_path(), at, message);
        }
        if operation.effect == Effect::Write
            && let Some(node) = fields.get("stale_if_error")
        {
            let message = format!("`{target}` has an effect: only what a call read can be answered again");
            self.problems.add(node.problem(message));
        }
        Type::of(&operation.output)
    }

    fn sub_flow(&mut self, step: &Step, name: &str, at: usize, fields: &Fields<'_>, known: &Known) -> Type {
        let Some(node) = fields.get("flow") else { return Type::ANY };
        let Some(flow) = self.flows.find(name) else {
            let message = unknown("flow", name, &self.flows.names());
            self.problems.add(node.problem(message));
            self.input_alone(&step.input, fields, known);
            return Type::ANY;
        };
        self.input(&step.input, &flow.input.json_schema(), at, fields, known);
        if let Some(circle) = self.circle(name) {
            self.problems.add(node.problem(format!("the flow runs itself: {}", circle.join(" → "))));
            return Type::ANY;
        }
        if self.around.contains(&name) {
            return Type::ANY;
        }
        // What is wrong with it is told of it, not here.
        let mut around = self.around.clone();
        around.push(&flow.name);
        let mut inner = Checker { around, problems: Problems::default(), ..*self };
        inner.flow(flow)
    }

    /// How a sub-flow leads back to the flow that is checked, if it does.
    fn circle(&self, name: &str) -> Option<Vec<&'a str>> {
        let checked = *self.around.first()?;
        let first = self.flows.find(name)?;
        let mut ways = vec![vec![checked, first.name.as_str()]];
        let mut seen: Vec<&str> = Vec::new();
        while let Some(way) = ways.pop() {
            let last = *way.last()?;
            if last == checked {
                return Some(way);
            }
            if seen.contains(&last) {
                continue;
            }
            seen.push(last);
            for step in self.flows.find(last).iter().flat_map(|flow| &flow.steps) {
                if let Work::Flow(next) = &step.work
                    && let Some(next) = self.flows.find(next)
                {
                    ways.push([way.as_slice(), &[next.name.as_str()]].concat());
                }
            }
        }
        None
    }

    fn undo(&mut self, undo: &UndoCall, fields: &Fields<'_>, known: &Known) {
        if let (Some(when), Some(node)) = (&undo.when, fields.get("when")) {
            self.fit(known).expression(&node, when, Kinds::BOOLEAN, "true or false");
        }
        let Some(node) = fields.get("call") else { return };
        let Some(operation) = self.operation(&undo.call, &node) else {
            return self.input_alone(&undo.input, fields, known);
        };
        self.input(&undo.input, &operation.input, node.span().start, fields, known);
        if !(operation.idempotent || operation.keyed || undo.repeatable) {
            let call = &undo.call;
            let message = format!(
                "`{call}` may be sent twice, as an undo is tried until it succeeds, and it is neither idempotent nor keyed; take another, or say `repeatable = true` if with this input twice is the same as once"
            );
            self.problems.add(node.problem(message));
        }
    }

    /// The operation that a call means; if there is none, that is noted.
    fn operation(&mut self, target: &Target, node: &Node<'_>) -> Option<&'a Operation> {
        let message = match self.world.player(&target.role) {
            None => unknown("role or instance", &target.role, &self.world.roles()),
            Some(player) => match player?.operation(&target.operation) {
                Ok(operation) => return Some(operation),
                Err(message) => message,
            },
        };
        self.problems.add(node.problem(message));
        None
    }

    fn input(&mut self, input: &Template, schema: &Value, at: usize, fields: &Fields<'_>, known: &Known) {
        match fields.get("input") {
            Some(node) => self.fit(known).value(&node, input, schema),
            None => {
                for name in missing([].into_iter(), schema) {
                    self.wrong(fields.at_path(), at, format!("`input` is missing, with `{name}`"));
                }
            }
        }
    }

    fn input_alone(&mut self, input: &Template, fields: &Fields<'_>, known: &Known) {
        if let Some(node) = fields.get("input") {
            self.fit(known).sound(&node, input);
        }
    }
}
