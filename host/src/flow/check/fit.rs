//! Whether what a flow sends fits what an operation takes.

use super::infer::Known;
use super::types::{Kinds, Type};
use crate::config::problem::did_you_mean;
use crate::flow::document::{Node, Problem, Problems, unknown};
use crate::flow::expression::Expression;
use crate::flow::template::{Part, Template};
use serde_json::Value;

/// Looks at values of a flow's file.
pub struct Fit<'a> {
    /// What its expressions see.
    pub known: &'a Known,
    /// What is wrong is noted here.
    pub problems: &'a mut Problems,
}

impl Fit<'_> {
    /// Whether a value fits a schema. `node` is where it is written, as far as it is.
    pub fn value(&mut self, node: &Node<'_>, template: &Template, schema: &Value) {
        for word in ["oneOf", "anyOf"] {
            if let Some(choices) = schema.get(word).and_then(Value::as_array) {
                return self.choice(node, template, schema, choices);
            }
        }
        match template {
            Template::Literal(value) => self.literal(node, value, schema),
            Template::Whole(expression) => {
                let of = self.known.expression(expression);
                let place = |problem: Problem| problem.about(node.span(), expression.source());
                match of {
                    Err(reason) => self.problems.add(place(node.problem(reason))),
                    Ok(of) => {
                        if let Some(reason) = misfit(&of, &Type::of(schema)) {
                            let message = format!("`{}` {reason}", expression.source());
                            self.problems.add(place(node.problem(message)));
                        }
                    }
                }
            }
            Template::Text(parts) => {
                self.text(node, parts);
                self.kind(node, Kinds::STRING, schema);
            }
            Template::List(items) => {
                self.kind(node, Kinds::ARRAY, schema);
                let any = Value::Bool(true);
                let schema = schema.get("items").unwrap_or(&any);
                for (node, item) in node.list().unwrap_or_default().iter().zip(items) {
                    self.value(node, item, schema);
                }
            }
            Template::Object(fields) => {
                self.kind(node, Kinds::OBJECT, schema);
                self.fields(node, fields, schema);
            }
        }
    }

    /// Whether a value is right in itself: there is nothing that it must fit.
    pub fn sound(&mut self, node: &Node<'_>, template: &Template) {
        self.value(node, template, &Value::Bool(true));
    }

    /// Whether an expression is of one of some kinds.
    pub fn expression(
        &mut self,
        node: &Node<'_>,
        expression: &Expression,
        kinds: Kinds,
        wanted: &str,
    ) -> Type {
        let problem = match self.known.expression(expression) {
            Ok(of) if of.kinds.meets(kinds) => return of,
            Ok(of) => format!("`{}` must be {wanted}, but is of type {}", expression.source(), of.kinds),
            Err(reason) => reason,
        };
        self.problems.add(node.problem(problem).about(node.span(), expression.source()));
        Type::ANY
    }

    fn fields(&mut self, node: &Node<'_>, templates: &[(String, Template)], schema: &Value) {
        let Ok(fields) = node.fields() else { return };
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let any = Value::Bool(true);
        for ((name, at, node), (_, template)) in fields.in_order().iter().zip(templates) {
            let schema = match (properties.and_then(|known| known.get(*name)), others) {
                (Some(schema), _) => schema,
                (None, Some(Value::Bool(false))) => {
                    let known: Vec<&str> =
                        properties.into_iter().flat_map(|known| known.keys()).map(String::as_str).collect();
                    self.problems.add(Problem::new(node.path(), *at, unknown("field", name, &known)));
                    continue;
                }
                (None, Some(schema @ Value::Object(_))) => schema,
                (None, _) => &any,
            };
            self.value(node, template, schema);
        }
        for name in missing(templates.iter().map(|(name, _)| name.as_str()), schema) {
            let said = properties.and_then(|known| known.get(name)?.get("description")?.as_str());
            let said =
                said.and_then(|said| said.lines().next()).map(|said| format!(": {said}")).unwrap_or_default();
            self.problems.add(node.problem(format!("`{name}` is missing{said}")));
        }
    }

    fn literal(&mut self, node: &Node<'_>, value: &Value, schema: &Value) {
        if !self.kind(node, Kinds::of(value), schema) {
            return;
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.contains(value)
        {
            self.one_of(node, value, allowed.iter());
        }
        let Some(number) = value.as_f64() else { return };
        let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
        if let Some(least) = bound("minimum").filter(|least| number < *least) {
            self.problems.add(node.problem(format!("must be at least {least}")));
        }
        if let Some(most) = bound("maximum").filter(|most| number > *most) {
            self.problems.add(node.problem(format!("must be at most {most}")));
        }
    }

    /// One schema of several must fit; if none does, that one counts with which least is wrong.
    fn choice(&mut self, node: &Node<'_>, template: &Template, schema: &Value, choices: &[Value]) {
        let constants: Option<Vec<&Value>> = choices.iter().map(|choice| choice.get("const")).collect();
        if let (Some(constants), Template::Literal(value)) = (constants, template) {
            if !constants.contains(&value) {
                self.one_of(node, value, constants.into_iter());
            }
            return;
        }
        if matches!(template, Template::Whole(_) | Template::Text(_)) {
            // The kinds of all choices together; more is known only when it has a value.
            let kinds = Type::of(schema).kinds;
            return self.value(node, template, &Type::from(kinds).schema());
        }
        let mut nearest: Option<Problems> = None;
        for choice in choices {
            let mut problems = Problems::default();
            Fit { known: self.known, problems: &mut problems }.value(node, template, choice);
            if problems.is_empty() {
                return;
            }
            if nearest.as_ref().is_none_or(|nearest| problems.len() < nearest.len()) {
                nearest = Some(problems);
            }
        }
        self.problems.extend(nearest.unwrap_or_default());
    }

    fn one_of<'v>(&mut self, node: &Node<'_>, value: &Value, allowed: impl Iterator<Item = &'v Value>) {
        let allowed: Vec<String> = allowed.map(plain).collect();
        let advice = did_you_mean(&plain(value), allowed.iter().map(String::as_str)).unwrap_or_default();
        self.problems.add(
            node.problem(format!("`{}` is not one of the values that are known; {advice}", plain(value))),
        );
    }

    fn kind(&mut self, node: &Node<'_>, found: Kinds, schema: &Value) -> bool {
        let wanted = Type::of(schema).kinds;
        let fits = found.meets(wanted);
        if !fits {
            self.problems.add(node.problem(format!("must be of type {wanted}, but is of type {found}")));
        }
        fits
    }

    fn text(&mut self, node: &Node<'_>, parts: &[Part]) {
        for part in parts {
            let Part::Value(expression) = part else { continue };
            let problem = match self.known.expression(expression) {
                Ok(of) if of.kinds == Kinds::NULL => {
                    format!("`{}` is null, which cannot be written within a text", expression.source())
                }
                Ok(_) => continue,
                Err(reason) => reason,
            };
            self.problems.add(node.problem(problem).about(node.span(), expression.source()));
        }
    }
}

/// The fields that a schema requires and `given` does not have.
pub fn missing<'s>(given: impl Iterator<Item = &'s str>, schema: &'s Value) -> impl Iterator<Item = &'s str> {
    let given: Vec<&str> = given.collect();
    let required = schema.get("required").and_then(Value::as_array);
    required.into_iter().flatten().filter_map(Value::as_str).filter(move |name| !given.contains(name))
}

fn misfit(of: &Type, wanted: &Type) -> Option<String> {
    if !of.kinds.meets(wanted.kinds) {
        return Some(format!("must be of type {}, but is of type {}", wanted.kinds, of.kinds));
    }
    if of.kinds == Kinds::ARRAY && wanted.kinds.meets(Kinds::ARRAY) {
        let (items, wanted) = (of.items(), wanted.items());
        if !items.kinds.meets(wanted.kinds) {
            return Some(format!(
                "must be a list of type {}, but its items are of type {}",
                wanted.kinds, items.kinds
            ));
        }
    }
    None
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
