//! The drawing for a terminal: waves from top to bottom, and behind each step's arrow what it waits for.

use super::{Graph, Undo, label};
use std::fmt::Write;

impl Graph<'_> {
    /// Draws it, no wider than so many columns where that can be.
    pub fn text(&self, width: usize) -> String {
        let mut out = String::new();
        let mut line = |text: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{}", clip(text.trim_end(), width));
        };
        line(format!("flow    {}", self.flow.name));
        for (word, text) in self.heading() {
            line(format!("{word:<7} {text}"));
        }
        line(String::new());
        let rows = self.rows();
        let column = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (names, calls, undos) =
            (column(|row| &row.name), column(|row| &row.call), column(|row| &row.undo));
        for row in &rows {
            let Row { lane, name, call, undo, after, .. } = row;
            line(format!("{lane}{name:names$}  {call:calls$}  {undo:undos$}  {after}"));
            for note in &row.notes {
                line(format!("{}  {note}", row.below));
            }
        }
        let answers = label::output(self.flow);
        if !answers.is_empty() {
            line(String::new());
            line(format!("answers {answers}"));
        }
        out
    }

    fn heading(&self) -> Vec<(&'static str, String)> {
        let flow = self.flow;
        let mut heading = vec![("does", flow.description.clone()), ("takes", label::input(flow))];
        heading.push(("within", flow.deadline.map(|time| super::Span(time).to_string()).unwrap_or_default()));
        heading.push(("key", flow.key.as_ref().map(ToString::to_string).unwrap_or_default()));
        heading.extend(flow.triggers.iter().map(|trigger| ("run by", trigger.shown())));
        heading.retain(|(_, text)| !text.is_empty());
        heading
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let digits = self.waves.len().to_string().len();
        for (number, wave) in self.waves.iter().enumerate() {
            for (place, at) in wave.iter().enumerate() {
                let step = &self.flow.steps[*at];
                let (first, last) = (place == 0, place + 1 == wave.len());
                let bracket = match (first, last) {
                    (true, true) => "──",
                    (true, false) => "┬─",
                    (false, false) => "├─",
                    (false, true) => "└─",
                };
                let begins = if first { (number + 1).to_string() } else { String::new() };
                let waits: Vec<&str> = self.after[*at].iter().map(|other| self.name(*other)).collect();
                let undo = match (label::undo(step), &step.undo) {
                    (Some(undo), _) => format!("↩ {undo}"),
                    (None, Undo::Nothing) => "no undo".to_owned(),
                    (None, _) => "no undo said".to_owned(),
                };
                rows.push(Row {
                    lane: format!("{begins:>digits$} {bracket} "),
                    below: format!("{:digits$} {}   ", "", if last { " " } else { "│" }),
                    name: step.name.clone(),
                    call: step.work.to_string(),
                    undo,
                    after: if waits.is_empty() { String::new() } else { format!("← {}", waits.join(", ")) },
                    notes: label::notes(step)
                        .into_iter()
                        .chain(label::undo_when(step).map(|when| format!("undo {when}")))
                        .collect(),
                });
            }
        }
        rows
    }
}

/// A step, and what is written below it.
struct Row {
    lane: String,
    below: String,
    name: String,
    call: String,
    undo: String,
    after: String,
    notes: Vec<String>,
}

fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
