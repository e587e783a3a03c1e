//! A TOML document read by hand, so that whatever is wrong with it can be told with file, line and field.

use crate::config::units::Span;
use serde::Serialize;
use serde_json::{Map, Number, Value};
use std::fmt;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with a flow file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct FlowError {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The field, as a path: `steps.user.call`.
    pub field: String,
    /// What is wrong, with the nearest valid name where there is one.
    pub message: String,
}

/// Everything that is wrong with flows.
#[derive(Clone, Debug, Default, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct FlowErrors(pub Vec<FlowError>);

impl fmt::Display for FlowErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(FlowError::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// What is wrong, before file and line are known.
#[derive(Debug)]
pub struct Problem {
    field: String,
    message: String,
    at: usize,
    /// The part of the value that it is about, where that is not the whole.
    part: Option<(Range<usize>, String)>,
}

/// All that is wrong with a document, as it is found.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Takes note of what is wrong; the rest is looked at all the same.
    pub fn add(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// The result, if it is one; what is wrong is noted.
    pub fn keep<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.add(problem)).ok()
    }

    /// How much is wrong.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes note of all of these too.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives each its place in `text`, the content of `file`; in the order of the file.
    pub fn placed(self, file: &str, text: &str) -> Vec<FlowError> {
        let mut errors: Vec<_> = self.0.into_iter().map(|problem| problem.placed(file, text)).collect();
        errors.sort_by_key(|error| (error.line, error.column));
        errors.dedup();
        errors
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl Problem {
    /// Something wrong with `field`, which stands at byte `at`.
    pub fn new(field: impl Into<String>, at: usize, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), at, part: None }
    }

    /// The same, about `part` of the value: an expression within a text.
    pub fn about(self, value: Range<usize>, part: &str) -> Self {
        Self { part: Some((value, part.to_owned())), ..self }
    }

    /// The same, with what to do.
    pub fn advice(self, advice: &str) -> Self {
        Self { message: format!("{}; {advice}", self.message), ..self }
    }

    /// Gives it its place in `text`, the content of `file`.
    fn placed(self, file: &str, text: &str) -> FlowError {
        let within = self.part.and_then(|(value, part)| Some(value.start + text.get(value)?.find(&part)?));
        let before = text.get(..within.unwrap_or(self.at)).unwrap_or(text);
        FlowError {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            field: self.field,
            message: self.message,
        }
    }
}

/// The fields of a table.
#[derive(Clone)]
pub struct Fields<'a> {
    path: String,
    at: usize,
    table: &'a DeTable<'a>,
}

/// A value with its place.
#[derive(Clone)]
pub struct Node<'a> {
    path: String,
    value: &'a Spanned<DeValue<'a>>,
}

/// Parses a document.
pub fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Problem> {
    DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Problem::new("", at, error.message().to_owned())
    })
}

impl<'a> Fields<'a> {
    /// The fields of a whole document.
    pub fn of(document: &'a Spanned<DeTable<'a>>) -> Self {
        Self { path: String::new(), at: 0, table: document.get_ref() }
    }

    /// Refuses fields that are not among `names`.
    pub fn only(&self, names: &[&str], problems: &mut Problems) {
        for key in self.table.keys().filter(|key| !names.contains(&key.get_ref().as_ref())) {
            let path = join(&self.path, key.get_ref());
            problems.add(Problem::new(path, key.span().start, unknown("field", key.get_ref(), names)));
        }
    }

    /// A field, if it is there and `read` can make something of it.
    pub fn read<T>(
        &self,
        name: &str,
        problems: &mut Problems,
        read: impl FnOnce(&Node<'a>) -> Result<T, Problem>,
    ) -> Option<T> {
        self.get(name).and_then(|node| problems.keep(read(&node)))
    }

    /// A field, if it is there.
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        let value = self.table.get(name)?;
        Some(Node { path: join(&self.path, name), value })
    }

    /// A field of a field, however deep, if it is there.
    pub fn path(&self, names: &[&str]) -> Option<Node<'a>> {
        let (first, rest) = names.split_first()?;
        let node = self.get(first)?;
        if rest.is_empty() { Some(node) } else { node.fields().ok()?.path(rest) }
    }

    /// What is written at the end of a way through fields and items, or as far along it as anything is.
    pub fn deepest(&self, way: &[String]) -> Option<Node<'a>> {
        let (first, rest) = way.split_first()?;
        Some(self.get(first)?.deepest(rest))
    }

    /// The path of the table itself.
    pub fn at_path(&self) -> &str {
        &self.path
    }

    /// A field that must be there.
    pub fn require(&self, name: &str) -> Result<Node<'a>, Problem> {
        self.get(name).ok_or_else(|| self.problem(format!("`{name}` is missing")))
    }

    /// All fields, in the order in which they are written.
    pub fn in_order(&self) -> Vec<(&'a str, usize, Node<'a>)> {
        let mut fields: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| {
                let node = Node { path: join(&self.path, key.get_ref()), value };
                (key.get_ref().as_ref(), key.span().start, node)
            })
            .collect();
        fields.sort_by_key(|(_, at, _)| *at);
        fields
    }

    /// Something wrong with the table as a whole.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.path.clone(), self.at, message)
    }
}

impl<'a> Node<'a> {
    /// Its path in the document.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it stands.
    pub fn span(&self) -> Range<usize> {
        self.value.span()
    }

    /// Something wrong with it.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.path.clone(), self.value.span().start, message)
    }

    /// The value without its place.
    pub fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// A string.
    pub fn text(&self) -> Result<&'a str, Problem> {
        self.value().as_str().ok_or_else(|| self.wanted("a string"))
    }

    /// A length of time, as the configuration writes them: `"2s"`, or a number of milliseconds.
    pub fn time(&self) -> Result<Duration, Problem> {
        match serde_json::from_value::<Span>(self.json()?) {
            Ok(Span(time)) if time.is_zero() => Err(self.problem("must be longer than nothing")),
            Ok(Span(time)) => Ok(time),
            Err(_) => {
                Err(self.problem("must be a time such as \"250ms\" or \"10s\", or a number of milliseconds"))
            }
        }
    }

    /// A whole number from `least` on.
    pub fn number(&self, least: u32) -> Result<u32, Problem> {
        let number = self.json()?.as_u64().and_then(|number| u32::try_from(number).ok());
        number
            .filter(|number| *number >= least)
            .ok_or_else(|| self.problem(format!("must be a whole number from {least} on")))
    }

    /// True or false.
    pub fn flag(&self) -> Result<bool, Problem> {
        self.value().as_bool().ok_or_else(|| self.wanted("true or false"))
    }

    /// A table.
    pub fn fields(&self) -> Result<Fields<'a>, Problem> {
        let table = self.value().as_table().ok_or_else(|| self.wanted("a table"))?;
        Ok(Fields { path: self.path.clone(), at: self.value.span().start, table })
    }

    /// A list.
    pub fn list(&self) -> Result<Vec<Node<'a>>, Problem> {
        let list = self.value().as_array().ok_or_else(|| self.wanted("a list"))?;
        let item = |(at, value)| Node { path: format!("{}[{at}]", self.path), value };
        Ok(list.iter().enumerate().map(item).collect())
    }

    /// The same from here on.
    pub fn deepest(&self, way: &[String]) -> Self {
        let Some((first, rest)) = way.split_first() else { return self.clone() };
        let next = match self.value() {
            DeValue::Table(_) => self.fields().ok().and_then(|fields| fields.get(first)),
            DeValue::Array(_) => {
                let items = self.list().unwrap_or_default();
                first.parse().ok().and_then(|at: usize| items.get(at).cloned())
            }
            _ => None,
        };
        next.map_or_else(|| self.clone(), |node| node.deepest(rest))
    }

    /// A plain JSON value.
    pub fn json(&self) -> Result<Value, Problem> {
        Ok(match self.value() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map(Value::from)
                .map_err(|_| self.problem("this number does not fit into 64 bits"))?,
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .ok()
                .and_then(Number::from_f64)
                .map(Value::Number)
                .ok_or_else(|| self.problem("JSON has no such number"))?,
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Array(_) => Value::Array(self.list()?.iter().map(Node::json).collect::<Result<_, _>>()?),
            DeValue::Table(_) => {
                let mut object = Map::new();
                for (name, _, node) in self.fields()?.in_order() {
                    object.insert(name.to_owned(), node.json()?);
                }
                Value::Object(object)
            }
        })
    }

    fn wanted(&self, kind: &str) -> Problem {
        self.problem(format!("must be {kind}, but is of type {}", self.value().type_str()))
    }
}

/// Says that a name is not known, with the nearest one that is.
pub fn unknown<'n>(kind: &str, name: &str, known: impl IntoIterator<Item = &'n &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().copied().collect();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 2)
        .min();
    match nearest {
        Some((_, nearest)) => format!("there is no {kind} `{name}`; did you mean `{nearest}`?"),
        None if known.is_empty() => format!("there is no {kind} `{name}`"),
        None => format!("there is no {kind} `{name}`; there are: {}", known.join(", ")),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
