//! The drawing as a Mermaid flowchart. Steps have ids of their own, and every text is escaped, so that no name and no expression can
//! say anything to Mermaid.

use super::{Graph, Work, label};
use std::fmt::Write;

impl Graph<'_> {
    /// As the text of a flowchart.
    pub fn mermaid(&self) -> String {
        let mut lines = vec![format!("input([{}])", text([self.flow.name.clone(), label::input(self.flow)]))];
        for (at, trigger) in self.flow.triggers.iter().enumerate() {
            lines.push(format!("t{at}{{{{{}}}}} --> input", text([trigger.shown()])));
        }
        let mut undos = Vec::new();
        for at in self.waves.iter().flatten() {
            let step = &self.flow.steps[*at];
            let (open, close) = match &step.work {
                Work::Flow(_) => ("[[", "]]"),
                Work::Call(_) => ("[", "]"),
            };
            let said = [step.name.clone(), step.work.to_string()].into_iter().chain(label::notes(step));
            lines.push(format!("s{at}{open}{}{close}", text(said)));
            if self.after[*at].is_empty() {
                lines.push(format!("input --> s{at}"));
            }
            lines.extend(self.after[*at].iter().map(|other| format!("s{other} --> s{at}")));
            if let Some(undo) = label::undo(step) {
                lines.push(format!(
                    "s{at} -.-> u{at}([{}])",
                    text(std::iter::once(format!("↩ {undo}")).chain(label::undo_when(step)))
                ));
                undos.push(format!("u{at}"));
            }
        }
        lines.push(format!("output([{}])", text(["answer".to_owned(), label::output(self.flow)])));
        lines.extend(self.last().map(|at| format!("s{at} --> output")));
        if !undos.is_empty() {
            lines.push("classDef undo stroke-dasharray:4 4".to_owned());
            lines.push(format!("class {} undo", undos.join(",")));
        }
        let mut out = "flowchart TD\n".to_owned();
        for line in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "    {line}");
        }
        out
    }
}

/// Lines as one quoted text; empty ones are left out.
fn text(lines: impl IntoIterator<Item = String>) -> String {
    let lines: Vec<String> =
        lines.into_iter().filter(|line| !line.is_empty()).map(|line| escaped(&line)).collect();
    format!("\"{}\"", lines.join("<br/>"))
}

/// Everything that is not plainly a letter, a digit or one of a few signs is written by its number: Mermaid reads some signs before
/// it knows that they are quoted (`%%{`, `:…#…;`), and others as markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_alphanumeric() || matches!(char, ' ' | '_' | '.' | ',' | '-' | '/' | '?' | '(' | ')' | '↩')
        {
            out.push(char);
        } else {
            let _ = write!(out, "#{};", u32::from(char));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::Flow;
    use super::*;
    use proptest::prelude::*;

    /// What stands in quotes, and the line without it.
    fn parts(line: &str) -> (Vec<&str>, String) {
        let pieces: Vec<&str> = line.split('"').collect();
        assert!(pieces.len() % 2 == 1, "a quote is open: {line}");
        let quoted = pieces.iter().skip(1).step_by(2).copied().collect();
        (quoted, pieces.iter().step_by(2).copied().collect::<Vec<_>>().join("\"\""))
    }

    fn sound(drawn: &str) {
        let mut lines = drawn.lines();
        assert_eq!(lines.next(), Some("flowchart TD"));
        for line in lines {
            let (quoted, rest) = parts(line.strip_prefix("    ").unwrap_or_else(|| panic!("{line}")));
            for text in quoted {
                let plain = text.replace("<br/>", "");
                assert!(!plain.contains(['<', '>', '&', '"', '`', ':', '%', '$', '\n']), "{line}");
                // Each `#` begins the number of a sign.
                for after in plain.split('#').skip(1) {
                    let number = after.split(';').next().unwrap_or_default();
                    assert!(after.contains(';') && number.parse::<u32>().is_ok(), "{line}");
                }
            }
            let ours = |char: char| char.is_ascii_alphanumeric() || " -.>()[]{}\",:".contains(char);
            assert!(rest.chars().all(ours), "{rest}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_flow_says_is_read_by_mermaid(
            name in "\\PC{0,20}", said in "\\PC{0,40}", role in "[^.\\pC]{1,12}", value in "\\PC{0,12}",
        ) {
            let string = |text: &str| toml::Value::from(text).to_string();
            let file = format!(
                "description = {}\n[steps.a]\ncall = {}\nwhen = {}\nundo = {{ call = {} }}\n[steps.b]\nflow = {}\nafter = [\"a\"]\non_error = {{ value = {} }}\n",
                string(&said),
                string(&format!("{role}.do")),
                string(&format!("{value:?} == 'x'")),
                string(&format!("{role}.undo")),
                string(&said),
                string(&value.replace('$', "")),
            );
            // Not every Rust escape is one of CEL.
            if let Ok(flow) = Flow::parse(&name, "f.toml", &file) {
                sound(&Graph::of(&flow).mermaid());
            }
        }
    }
}
