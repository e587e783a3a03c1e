//! The words of a drawing, the same in the terminal and in Mermaid.

use super::{OnError, Span, Step, Undo, Work};
use crate::flow::Flow;
use crate::flow::template::Template;

/// What a step does under which conditions, a line each.
pub fn notes(step: &Step) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(when) = &step.when {
        notes.push(format!("when {}", one_line(when.source())));
    }
    if let Some(each) = &step.for_each {
        notes.push(format!("for each of {}, {} at once", one_line(each.items.source()), each.limit));
    }
    if let Some(check) = &step.check {
        notes.push(format!("must hold: {}, else {}", one_line(check.that.source()), check.code));
    }
    match &step.on_error {
        OnError::Fail => {}
        OnError::Continue => notes.push("on error: goes on with null".to_owned()),
        OnError::Value(value) => {
            notes.push(format!("on error: goes on with {}", one_line(&value.to_string())))
        }
    }
    if let Some(time) = step.stale_if_error {
        notes.push(format!("on error: the last result, up to {} old", Span(time)));
    }
    if let Some(policy) = &step.policy {
        let time = |name: &str, time: Option<Span>| time.map(|time| format!("{name} {time}"));
        let said = [
            time("deadline", policy.deadline),
            time("attempt_timeout", policy.attempt_timeout),
            policy.retries.map(|retries| format!("{retries} retries")),
        ];
        notes.push(format!("policy: {}", said.into_iter().flatten().collect::<Vec<_>>().join(", ")));
    }
    notes
}

/// How a step is taken back; nothing if there is nothing to take back.
pub fn undo(step: &Step) -> Option<String> {
    match (&step.work, &step.undo) {
        (Work::Flow(_), _) => Some("its own steps".to_owned()),
        (_, Undo::Call(undo)) => Some(undo.call.to_string()),
        (_, Undo::Nothing | Undo::Unsaid) => None,
    }
}

/// Under which condition it is taken back.
pub fn undo_when(step: &Step) -> Option<String> {
    match &step.undo {
        Undo::Call(undo) => undo.when.as_ref().map(|when| format!("when {}", one_line(when.source()))),
        Undo::Nothing | Undo::Unsaid => None,
    }
}

/// The fields that a flow takes, those with `?` that may be left out.
pub fn input(flow: &Flow) -> String {
    let schema = flow.input.json_schema();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let field = |name: &str| {
        let optional = if required.iter().any(|known| known == name) { "" } else { "?" };
        format!("{name}{optional}")
    };
    flow.input.names().into_iter().map(field).collect::<Vec<_>>().join(", ")
}

/// The fields of the answer, or what it is made of.
pub fn output(flow: &Flow) -> String {
    match &flow.output {
        Template::Object(fields) => {
            fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
        }
        Template::Literal(value) if value.is_null() => String::new(),
        other => one_line(&other.to_string()),
    }
}

/// Without the line breaks and indentation of the file.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
