//! Of which type an expression is, as far as it can be said before it has a value.

use super::types::{Kinds, Type};
use crate::flow::expression::Expression;
use crate::flow::template::Template;
use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The types of the names that an expression sees.
#[derive(Clone, Debug, Default)]
pub struct Known {
    roots: BTreeMap<String, Type>,
    /// `steps.NAME.FIELD`; shared with those that only know a name more.
    steps: Rc<BTreeMap<(String, String), Type>>,
}

impl Known {
    /// The same with another name.
    pub fn with(&self, name: &str, of: Type) -> Self {
        let mut known = self.clone();
        known.set(name, of);
        known
    }

    /// Makes a name known.
    pub fn set(&mut self, name: &str, of: Type) {
        self.roots.insert(name.to_owned(), of);
    }

    /// Makes a field of a step known.
    pub fn set_step(&mut self, step: &str, field: &str, of: Type) {
        Rc::make_mut(&mut self.steps).insert((step.to_owned(), field.to_owned()), of);
    }

    /// The type of an expression.
    ///
    /// # Errors
    /// What can never be: a field that there is not, of a value whose fields are known.
    pub fn expression(&self, expression: &Expression) -> Result<Type, String> {
        let mut walk = Walk { known: self, locals: Vec::new() };
        walk.of(expression.ast()).map_err(|reason| format!("`{}`: {reason}", expression.source()))
    }

    /// The type of a template's value; of what is wrong in it nothing is known.
    pub fn template(&self, template: &Template) -> Type {
        match template {
            Template::Literal(value) => Kinds::of(value).into(),
            Template::Whole(expression) => self.expression(expression).unwrap_or(Type::ANY),
            Template::Text(_) => Kinds::STRING.into(),
            Template::List(items) => {
                let items = items.iter().map(|item| self.template(item)).reduce(Type::or);
                Type::list(items.unwrap_or(Type::ANY))
            }
            Template::Object(fields) => {
                Type::object(fields.iter().map(|(name, field)| (name.clone(), self.template(field))))
            }
        }
    }
}

struct Walk<'a> {
    known: &'a Known,
    /// Variables of macros around the place.
    locals: Vec<(String, Type)>,
}

impl Walk<'_> {
    fn of(&mut self, expression: &IdedExpr) -> Result<Type, String> {
        Ok(match &expression.expr {
            Expr::Literal(literal) => literal_kind(literal).into(),
            Expr::Ident(name) => self.name(name.trim_start_matches('.')),
            Expr::Select(select) => self.select(select)?,
            Expr::List(list) => {
                let items = list.elements.iter().map(|item| self.of(item)).collect::<Result<Vec<_>, _>>()?;
                Type::list(items.into_iter().reduce(Type::or).unwrap_or(Type::ANY))
            }
            Expr::Map(map) => {
                let mut fields = Vec::new();
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else { return Ok(Kinds::OBJECT.into()) };
                    self.of(&entry.key)?;
                    fields.push((text_of(&entry.key), self.of(&entry.value)?));
                }
                let named: Option<Vec<_>> =
                    fields.into_iter().map(|(name, field)| Some((name?, field))).collect();
                named.map_or(Kinds::OBJECT.into(), Type::object)
            }
            Expr::Call(call) => self.call(call)?,
            Expr::Comprehension(comprehension) => self.comprehension(comprehension)?,
            Expr::Struct(_) | Expr::Unspecified => Type::ANY,
        })
    }

    fn name(&self, name: &str) -> Type {
        let local = self.locals.iter().rev().find(|(local, _)| local == name).map(|(_, of)| of);
        local.or_else(|| self.known.roots.get(name)).cloned().unwrap_or(Type::ANY)
    }

    fn select(&mut self, select: &SelectExpr) -> Result<Type, String> {
        if let Expr::Select(step) = &select.operand.expr
            && matches!(&step.operand.expr, Expr::Ident(root) if root == "steps")
        {
            let field = self.known.steps.get(&(step.field.clone(), select.field.clone()));
            let of = field.cloned().unwrap_or(Type::ANY);
            return Ok(if select.test { Kinds::BOOLEAN.into() } else { of });
        }
        let operand = self.of(&select.operand)?;
        let field = operand.field(&spelled(&select.operand.expr), &select.field)?;
        Ok(if select.test { Kinds::BOOLEAN.into() } else { field })
    }

    fn call(&mut self, call: &CallExpr) -> Result<Type, String> {
        call.target.as_ref().map(|target| self.of(target)).transpose()?;
        let arguments = call.args.iter().map(|argument| self.of(argument)).collect::<Result<Vec<_>, _>>()?;
        let all = |kinds: Kinds| arguments.iter().all(|argument| argument.kinds.within(kinds));
        Ok(match (call.func_name.as_str(), arguments.as_slice()) {
            (operators::CONDITIONAL, [_, yes, no]) => yes.clone().or(no.clone()),
            (operators::INDEX, [of, at]) => match call.args.get(1).and_then(text_of) {
                Some(name) if of.kinds.within(Kinds::OBJECT | Kinds::NULL) => {
                    of.field(&spelled(&call.args[0].expr), &name)?
                }
                _ if at.kinds.within(Kinds::INTEGER) => of.items(),
                _ => Type::ANY,
            },
            (operators::EQUALS | operators::NOT_EQUALS, [one, other]) => {
                let numbers = one.kinds.meets(Kinds::NUMBER) && other.kinds.meets(Kinds::NUMBER);
                let apart = !(numbers || one.kinds.meets(other.kinds));
                if apart && one.kinds != Kinds::NULL && other.kinds != Kinds::NULL {
                    return Err(format!("{} and {} are never equal", one.kinds, other.kinds));
                }
                Kinds::BOOLEAN.into()
            }
            (operators::ADD, _) if all(Kinds::STRING) => Kinds::STRING.into(),
            (operators::ADD, [one, other]) if all(Kinds::ARRAY) => Type::list(one.items().or(other.items())),
            (
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO
                | operators::NEGATE,
                _,
            ) if all(Kinds::INTEGER) => Kinds::INTEGER.into(),
            (operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE, _) if all(Kinds::NUMBER) => {
                Kinds::NUMBER.into()
            }
            ("split", _) => Type::list(Kinds::STRING.into()),
            (name, _) => match RESULTS.iter().find(|(names, _)| names.contains(&name)) {
                Some((_, kinds)) => (*kinds).into(),
                None => Type::ANY,
            },
        })
    }

    /// A macro: `map`, `filter`, `exists`, … The kind of its result is that of what it begins with.
    fn comprehension(&mut self, of: &ComprehensionExpr) -> Result<Type, String> {
        let range = self.of(&of.iter_range)?;
        let begins = self.of(&of.accu_init)?;
        let outside = self.locals.len();
        // Over an object it goes by the fields' names.
        let item = if range.kinds.within(Kinds::ARRAY) { range.items() } else { Type::ANY };
        self.locals.push((of.iter_var.clone(), item));
        self.locals.extend(of.iter_var2.iter().map(|name| (name.clone(), Type::ANY)));
        self.locals.push((of.accu_var.clone(), Type::from(begins.kinds)));
        let walked = self.of(&of.loop_cond).and_then(|_| self.of(&of.loop_step));
        let result = walked.and_then(|_| self.of(&of.result));
        let listed = match &of.loop_step.expr {
            Expr::Call(call) if begins.kinds == Kinds::ARRAY => match call.func_name.as_str() {
                operators::ADD => call.args.get(1).map(|added| self.of(added)).transpose()?,
                operators::CONDITIONAL => Some(Type::list(range.items())),
                _ => None,
            },
            _ => None,
        };
        self.locals.truncate(outside);
        let result = result?;
        Ok(match listed {
            Some(list) if result.kinds == Kinds::ARRAY => list,
            _ => result.kinds.into(),
        })
    }
}

/// What functions answer, whatever they are given.
const RESULTS: &[(&[&str], Kinds)] = &[
    (
        &[
            operators::LOGICAL_AND,
            operators::LOGICAL_OR,
            operators::LOGICAL_NOT,
            operators::LESS,
            operators::LESS_EQUALS,
            operators::GREATER,
            operators::GREATER_EQUALS,
            operators::IN,
            operators::NOT_STRICTLY_FALSE,
            "bool",
            "contains",
            "endsWith",
            "matches",
            "startsWith",
        ],
        Kinds::BOOLEAN,
    ),
    (
        &["string", "lowerAscii", "upperAscii", "replace", "trim", "join", "substring", "charAt", "format"],
        Kinds::STRING,
    ),
    (&["int", "uint", "size", "indexOf", "lastIndexOf"], Kinds::INTEGER),
    (&["double"], Kinds::NUMBER),
];

fn literal_kind(literal: &LiteralValue) -> Kinds {
    match literal {
        LiteralValue::Boolean(_) => Kinds::BOOLEAN,
        LiteralValue::Int(_) | LiteralValue::UInt(_) => Kinds::INTEGER,
        LiteralValue::Double(_) => Kinds::NUMBER,
        LiteralValue::String(_) | LiteralValue::Bytes(_) => Kinds::STRING,
        LiteralValue::Null => Kinds::NULL,
    }
}

fn text_of(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
        _ => None,
    }
}

/// How a value is called in messages.
fn spelled(expression: &Expr) -> String {
    match expression {
        Expr::Ident(name) => name.trim_start_matches('.').to_owned(),
        Expr::Select(select) => format!("{}.{}", spelled(&select.operand.expr), select.field),
        _ => "(…)".to_owned(),
    }
}
