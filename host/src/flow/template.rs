//! Values with expressions in them: the input of a step, the output of a flow.
//!
//! A string that is one `${expression}` has that expression's value and type. A string with expressions among other text is text.
//! `$${` stands for `${` itself. Everything else is as it is written.

use super::document::{Node, Problem, Problems};
use super::expression::{Expression, Names};
use super::scope::Scope;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;
use toml::de::DeValue;

/// A value that is made when its step is due.
#[derive(Debug)]
pub enum Template {
    /// No expression anywhere in it.
    Literal(Value),
    /// One expression.
    Whole(Expression),
    /// Text with expressions.
    Text(Vec<Part>),
    /// A list.
    List(Vec<Template>),
    /// An object.
    Object(Vec<(String, Template)>),
}

/// A part of a text.
#[derive(Debug)]
pub enum Part {
    /// As it is.
    Plain(String),
    /// The value of an expression.
    Value(Expression),
}

impl Template {
    /// Compiles a value of a document. What is wrong within it is noted, and stands for `null`.
    pub fn compile(node: &Node<'_>, names: Names<'_>, problems: &mut Problems) -> Self {
        let compiled = match node.value() {
            DeValue::String(text) => Self::text(node, text, names),
            DeValue::Array(_) => node.list().map(|items| {
                Self::List(items.iter().map(|item| Self::compile(item, names, problems)).collect())
            }),
            DeValue::Table(_) => node.fields().map(|fields| {
                let fields = fields.in_order().into_iter();
                let compile =
                    |(name, _, node): (&str, _, _)| (name.to_owned(), Self::compile(&node, names, problems));
                Self::Object(fields.map(compile).collect())
            }),
            _ => node.json().map(Self::Literal),
        };
        problems.keep(compiled).unwrap_or(Self::Literal(Value::Null))
    }

    /// Its value now.
    pub fn render(&self, scope: &Scope) -> Result<Value, String> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Whole(expression) => expression.evaluate(scope)?,
            Self::Text(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Plain(plain) => text.push_str(plain),
                        Part::Value(expression) => match expression.evaluate(scope)? {
                            Value::String(value) => text.push_str(&value),
                            Value::Null => return Err(format!("a value within the text {text:?}… is null")),
                            value => text.push_str(&value.to_string()),
                        },
                    }
                }
                Value::String(text)
            }
            Self::List(items) => {
                Value::Array(items.iter().map(|item| item.render(scope)).collect::<Result<_, _>>()?)
            }
            Self::Object(fields) => {
                let mut object = Map::with_capacity(fields.len());
                for (name, field) in fields {
                    let value = field.render(scope).map_err(|reason| format!("{name}: {reason}"))?;
                    object.insert(name.clone(), value);
                }
                Value::Object(object)
            }
        })
    }

    /// Adds the steps whose results it uses.
    pub fn steps(&self, steps: &mut BTreeSet<String>) {
        match self {
            Self::Literal(_) => {}
            Self::Whole(expression) => steps.extend(expression.steps().iter().cloned()),
            Self::Text(parts) => {
                for part in parts {
                    if let Part::Value(expression) = part {
                        steps.extend(expression.steps().iter().cloned());
                    }
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.steps(steps)),
            Self::Object(fields) => fields.iter().for_each(|(_, field)| field.steps(steps)),
        }
    }

    fn text(node: &Node<'_>, text: &str, names: Names<'_>) -> Result<Self, Problem> {
        let mut parts = Vec::new();
        for piece in split(text).map_err(|reason| node.problem(reason))? {
            parts.push(match piece {
                Piece::Plain(plain) => Part::Plain(plain),
                Piece::Code(code) => {
                    let wrong = |reason| node.problem(reason).about(node.span(), code);
                    Part::Value(Expression::compile(code, names).map_err(wrong)?)
                }
            });
        }
        Ok(match parts.pop() {
            None => Self::Literal(Value::String(String::new())),
            Some(Part::Value(expression)) if parts.is_empty() => Self::Whole(expression),
            Some(Part::Plain(plain)) if parts.is_empty() => Self::Literal(Value::String(plain)),
            Some(last) => {
                parts.push(last);
                Self::Text(parts)
            }
        })
    }
}

impl fmt::Display for Template {
    /// As it could stand in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(value) => value.fmt(f),
            Self::Whole(expression) => write!(f, "${{{}}}", expression.source()),
            Self::Text(parts) => parts.iter().try_for_each(|part| match part {
                Part::Plain(plain) => f.write_str(plain),
                Part::Value(expression) => write!(f, "${{{}}}", expression.source()),
            }),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Object(fields) => {
                let field = |(name, field): &(String, Self)| format!("{name} = {field}");
                write!(f, "{{ {} }}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Plain(String),
    Code(&'a str),
}

/// Splits a text into what is plain and what stands in `${…}`.
fn split(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            plain.push_str(&rest[..at - 1]);
            plain.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        plain.push_str(&rest[..at]);
        if !plain.is_empty() {
            pieces.push(Piece::Plain(std::mem::take(&mut plain)));
        }
        let code = &rest[at + 2..];
        let end = end_of_code(code).ok_or_else(|| format!("`${{` without its `}}` in {text:?}"))?;
        pieces.push(Piece::Code(code[..end].trim()));
        rest = &code[end + 1..];
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Plain(plain));
    }
    Ok(pieces)
}

/// The place of the `}` that ends the code: braces may be nested, those in strings do not count.
fn end_of_code(code: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    let mut chars = code.char_indices();
    while let Some((at, char)) = chars.next() {
        match (quote, char) {
            (Some(_), '\\') => {
                chars.next();
            }
            (Some(open), _) if char == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(char),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_split_at_its_expressions() {
        let plain = |text: &str| Piece::Plain(text.to_owned());
        assert_eq!(split("a").unwrap(), [plain("a")]);
        assert_eq!(split("${ input.id }").unwrap(), [Piece::Code("input.id")]);
        assert_eq!(
            split("user:${input.id}!").unwrap(),
            [plain("user:"), Piece::Code("input.id"), plain("!")]
        );
        assert_eq!(split("${{'a': {'b': '}'}}}").unwrap(), [Piece::Code("{'a': {'b': '}'}}")]);
        assert_eq!(split(r#"${"\"}"}x"#).unwrap(), [Piece::Code(r#""\"}""#), plain("x")]);
        assert_eq!(split("$${input} costs $5").unwrap(), [plain("${input} costs $5")]);
        assert!(split("${input.id").is_err());
    }
}
