//! A configuration as it was written: values that know where they came from.

use super::problem::Problem;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    /// What.
    pub value: Value,
    /// Where.
    pub origin: Origin,
}

/// What a value can be.
#[derive(Clone, Debug)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(Text),
    /// A list.
    List(Vec<Node>),
    /// A table, and where each key was written.
    Table(BTreeMap<String, Node>),
}

/// A text and what is known of where it came from.
#[derive(Clone, Debug, Default)]
pub struct Text {
    /// The text.
    pub text: String,
    /// It came from a variable or a file, where all is text: it may stand for a number or a truth value.
    pub loose: bool,
    /// It came from a secret file, and is never shown.
    pub secret: bool,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file.
    File(Arc<str>, usize),
    /// An environment variable.
    Variable(Arc<str>),
    /// Nowhere: a default.
    Default,
}

impl Node {
    /// Reads a TOML text; `name` is what its file is called in messages.
    pub fn parse(text: &str, name: &str) -> Result<Node, Problem> {
        let file = File { name: name.into(), lines: line_starts(text) };
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(Origin::Default, |span| file.origin(span.start));
            Problem::new(format!("not TOML: {}", error.message().replace('\n', ", "))).at(&at)
        })?;
        Ok(Node { origin: file.origin(0), value: file.table(table.into_inner())? })
    }

    /// An empty table.
    pub fn empty() -> Node {
        Node { value: Value::Table(BTreeMap::new()), origin: Origin::Default }
    }

    /// The value below these keys.
    pub fn at<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Node> {
        path.into_iter().try_fold(self, |node, key| match &node.value {
            Value::Table(table) => table.get(key),
            Value::List(list) => list.get(key.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// As JSON, texts as they are.
    pub fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Bool(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Text(text) => text.text.clone().into(),
            Value::List(list) => list.iter().map(Node::json).collect(),
            Value::Table(table) => serde_json::Value::Object(
                table.iter().map(|(key, node)| (key.clone(), node.json())).collect(),
            ),
        }
    }

    /// Visits every text below, with its dotted path.
    pub fn each_text<E>(
        &mut self,
        path: &str,
        visit: &mut impl FnMut(&str, &Origin, &mut Text) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.value {
            Value::Text(text) => visit(path, &self.origin, text),
            Value::List(list) => list
                .iter_mut()
                .enumerate()
                .try_for_each(|(at, node)| node.each_text(&format!("{path}[{at}]"), visit)),
            Value::Table(table) => {
                table.iter_mut().try_for_each(|(key, node)| node.each_text(&join(path, key), visit))
            }
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => Ok(()),
        }
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Bool(_) => "a truth value",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(name, line) => write!(f, "{name}:{line}"),
            Origin::Variable(name) => write!(f, "environment variable {name}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The path of a key in a table.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

struct File {
    name: Arc<str>,
    lines: Vec<usize>,
}

impl File {
    fn origin(&self, offset: usize) -> Origin {
        Origin::File(self.name.clone(), self.lines.partition_point(|start| *start <= offset))
    }

    fn table(&self, table: DeTable<'_>) -> Result<Value, Problem> {
        let entries = table.into_iter().map(|(key, value)| {
            let start = key.span().start;
            let mut node = self.node(value)?;
            // The line of the key is what a person looks for, also where the value is a table further down.
            node.origin = self.origin(start);
            Ok((key.into_inner().into_owned(), node))
        });
        Ok(Value::Table(entries.collect::<Result<_, Problem>>()?))
    }

    fn node(&self, value: Spanned<DeValue<'_>>) -> Result<Node, Problem> {
        let origin = self.origin(value.span().start);
        let wrong = |what: &str| Problem::new(format!("{what} is out of range")).at(&origin);
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(Text { text: text.into_owned(), ..Text::default() }),
            DeValue::Integer(number) => {
                let number = i64::from_str_radix(number.as_str(), number.radix());
                Value::Integer(number.map_err(|_| wrong("the number"))?)
            }
            DeValue::Float(number) => Value::Float(number.as_str().parse().map_err(|_| wrong("the number"))?),
            DeValue::Boolean(value) => Value::Bool(value),
            DeValue::Datetime(time) => Value::Text(Text { text: time.to_string(), ..Text::default() }),
            DeValue::Array(list) => {
                Value::List(list.into_iter().map(|item| self.node(item)).collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => self.table(table)?,
        };
        Ok(Node { value, origin })
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}
