//! `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}` in texts. `$${` stands for `${`.

use super::problem::{Problem, Problems};
use super::tree::{Node, Text};
use std::collections::BTreeMap;

/// Where values come from: the process in real life, a table in tests.
pub trait Outside {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// The text of a file.
    fn file(&self, path: &str) -> std::io::Result<String>;
}

/// This process: its environment, its files.
pub struct Process;

impl Outside for Process {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }
}

/// This process, with variables that go before its own.
pub struct Given<'a>(pub &'a BTreeMap<String, String>);

impl Outside for Given<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned().or_else(|| Process.variable(name))
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        Process.file(path)
    }
}

/// Fills in every text of the tree. All that is missing is told at once.
pub fn interpolate(tree: &mut Node, outside: &impl Outside) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let _ = tree.each_text::<()>("", &mut |path, origin, text| {
        if text.text.contains("${") {
            match fill(text, outside) {
                Ok(filled) => *text = filled,
                Err(problem) => problems.0.push(problem.at(origin).field(path)),
            }
        }
        Ok(())
    });
    problems.into_result()
}

/// The reference that the host itself fills in when its static servers listen; kept as it is until then.
pub const STATIC: &str = "static:";

fn fill(text: &Text, outside: &impl Outside) -> Result<Text, Problem> {
    let mut filled = Text { text: String::new(), loose: text.loose, secret: text.secret };
    let mut rest = text.text.as_str();
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            filled.text.push_str(before);
            filled.text.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        filled.text.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            return Err(
                Problem::new("`${` without its `}`").advice("write `$${` for the characters themselves")
            );
        };
        let reference = &rest[at + 2..at + end];
        if reference.starts_with(STATIC) {
            filled.text.push_str(&rest[at..=at + end]);
        } else {
            resolve(reference, outside, &mut filled)?;
        }
        rest = &rest[at + end + 1..];
    }
    filled.text.push_str(rest);
    Ok(filled)
}

fn resolve(reference: &str, outside: &impl Outside, filled: &mut Text) -> Result<(), Problem> {
    filled.loose = true;
    match reference.split_once(':') {
        Some(("env", name)) => {
            let (name, default) = match name.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (name, None),
            };
            // As in a shell, `:-` also stands in for a variable that is empty.
            let value = outside.variable(name).filter(|value| default.is_none() || !value.is_empty());
            let value = value.or_else(|| default.map(str::to_owned)).ok_or_else(|| {
                Problem::new(format!("environment variable {name} is not set"))
                    .advice(format!("set it, or write a default: ${{env:{name}:-value}}"))
            })?;
            filled.text.push_str(&value);
        }
        Some(("file", path)) => {
            let value = outside
                .file(path)
                .map_err(|error| Problem::new(format!("cannot read the file {path}: {error}")))?;
            filled.secret = true;
            // An editor or `echo` ends a file with a newline that is no part of the secret.
            filled.text.push_str(value.trim_end_matches(['\r', '\n']));
        }
        _ => {
            return Err(Problem::new(format!("`${{{reference}}}` is not known"))
                .advice("write ${env:NAME}, ${env:NAME:-default} or ${file:PATH}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table;

    impl Outside for Table {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "PORT" => Some("5432".into()),
                "EMPTY" => Some(String::new()),
                _ => None,
            }
        }

        fn file(&self, path: &str) -> std::io::Result<String> {
            match path {
                "/run/secret" => Ok("s3cret\n".into()),
                _ => Err(std::io::ErrorKind::NotFound.into()),
            }
        }
    }

    fn filled(text: &str) -> Result<Text, Problem> {
        fill(&Text { text: text.into(), ..Text::default() }, &Table)
    }

    #[test]
    fn variables_files_and_defaults_are_filled_in() {
        assert_eq!(filled("host:${env:PORT}/x").unwrap().text, "host:5432/x");
        assert_eq!(filled("${env:NONE:-http://a:1/}").unwrap().text, "http://a:1/");
        assert_eq!(filled("[${env:EMPTY:-full}][${env:EMPTY}]").unwrap().text, "[full][]");
        let secret = filled("u:${file:/run/secret}@h").unwrap();
        assert_eq!((secret.text.as_str(), secret.secret, secret.loose), ("u:s3cret@h", true, true));
        assert_eq!(filled("a $${env:PORT} b").unwrap().text, "a ${env:PORT} b");
        assert_eq!(filled("http://${static:api}").unwrap().text, "http://${static:api}");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(filled("${env:NONE}").unwrap_err().message.contains("NONE"));
        assert!(filled("${file:/nowhere}").unwrap_err().message.contains("/nowhere"));
        assert!(filled("${env:PORT").is_err());
        assert!(filled("${vault:x}").unwrap_err().message.contains("vault:x"));
    }
}
