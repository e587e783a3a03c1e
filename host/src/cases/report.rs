//! What came of cases.

use super::compare::Difference;
use super::model::{Case, CaseFile};
use crate::flow::document::{self, Fields, FlowError};
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// The cases of a file that were played.
#[derive(Debug, Serialize)]
pub struct PlayedFile {
    /// The file.
    pub file: String,
    /// The flow.
    pub flow: String,
    /// The cases.
    pub cases: Vec<Played>,
}

/// A case that was played.
#[derive(Debug, Serialize)]
pub struct Played {
    /// Its name.
    pub name: String,
    /// Its line.
    pub line: usize,
    /// Whether all came as it was expected.
    pub passed: bool,
    /// How long it took, with its host.
    #[serde(serialize_with = "ms")]
    pub ms: Duration,
    /// The state in which its run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What did not.
    pub misses: Vec<Miss>,
}

/// Something that did not come as it was expected.
#[derive(Debug, Serialize)]
pub struct Miss {
    /// Where that stands, and what it is.
    #[serde(flatten)]
    pub place: FlowError,
    /// What was expected; nothing where something is too much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    /// What came; nothing where nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<Value>,
}

/// Takes note of what is not as a case expects it.
pub struct Notes<'a> {
    file: &'a CaseFile,
    case: &'a Case,
    misses: Vec<Miss>,
}

impl<'a> Notes<'a> {
    /// Of a case.
    pub fn new(file: &'a CaseFile, case: &'a Case) -> Self {
        Self { file, case, misses: Vec::new() }
    }

    /// Something else is there than the field at the end of this way says.
    pub fn differs(&mut self, way: &[&str], expected: Value, got: Value) {
        let difference = Difference { way: Vec::new(), expected: Some(expected), got: Some(got) };
        self.difference(way, difference, "");
    }

    /// The same, with why.
    pub fn differs_as(&mut self, way: &[&str], expected: Value, got: Value, why: &str) {
        let difference = Difference { way: Vec::new(), expected: Some(expected), got: Some(got) };
        self.difference(way, difference, why);
    }

    /// All these, which were found in the value at the end of this way.
    pub fn differences(&mut self, way: &[&str], found: Vec<Difference>) {
        found.into_iter().for_each(|difference| self.difference(way, difference, ""));
    }

    /// Something is wrong with what stands at the end of this way.
    pub fn wrong(&mut self, way: &[&str], message: String) {
        let place = self.place(way.iter().map(|part| (*part).to_owned()).collect(), message);
        self.misses.push(Miss { place, expected: None, got: None });
    }

    /// All that was noted.
    pub fn into_misses(self) -> Vec<Miss> {
        self.misses
    }

    fn difference(&mut self, way: &[&str], difference: Difference, why: &str) {
        let Difference { way: within, expected, got } = difference;
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), short);
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        let message = format!("expected {}, got {}{why}", text(&expected), text(&got));
        let way = way.iter().map(|part| (*part).to_owned()).chain(within).collect();
        let place = self.place(way, message);
        self.misses.push(Miss { place, expected, got });
    }

    fn place(&self, way: Vec<String>, message: String) -> FlowError {
        let file = &self.file.file;
        let way = self.case.way(&way);
        let number = |part: &String| part.chars().all(|char| char.is_ascii_digit());
        let mut field = String::new();
        for part in &way {
            let dot = if field.is_empty() { "" } else { "." };
            field.push_str(&if number(part) { format!("[{part}]") } else { format!("{dot}{part}") });
        }
        let at = at(&self.file.text, &way);
        let problems = document::Problems::from(document::Problem::new(field, at, message));
        let placed = problems.placed(file, &self.file.text);
        placed.into_iter().next().unwrap_or_else(|| FlowError {
            file: file.clone(),
            line: self.case.line,
            column: 1,
            field: String::new(),
            message: String::new(),
        })
    }
}

/// Where that stands which is the furthest along this way.
fn at(text: &str, way: &[String]) -> usize {
    let Ok(document) = document::parse(text) else { return 0 };
    Fields::of(&document).deepest(way).map_or(0, |node| node.span().start)
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

/// A value, as far as a line has room for it.
fn short(value: &Value) -> String {
    const MOST: usize = 200;
    let text = value.to_string();
    if text.chars().count() <= MOST {
        return text;
    }
    text.chars().take(MOST).chain(['…']).collect()
}

fn ms<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((took.as_secs_f64() * 1e4).round() / 10.0)
}
