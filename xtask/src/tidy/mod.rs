//! The house rules, as a check: `cargo xtask tidy`, and a test of this crate.

mod house;
mod text;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One broken rule: where, and what to do about it.
#[derive(Debug, PartialEq)]
pub struct Violation {
    pub file: String,
    pub line: usize,
    pub advice: String,
}

impl Violation {
    pub fn new(file: impl Into<String>, line: usize, advice: impl Into<String>) -> Violation {
        Violation { file: file.into(), line, advice: advice.into() }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.advice)
    }
}

/// A text file of the checkout, its path relative to the root.
pub struct Source {
    pub path: String,
    pub text: String,
}

/// Runs the command: prints what is wrong; 0 if nothing is.
pub fn run(root: &Path) -> Result<u8> {
    let violations = check(root)?;
    violations.iter().for_each(|violation| println!("{violation}"));
    println!("{} house rules broken", violations.len());
    Ok(u8::from(!violations.is_empty()))
}

/// Every broken rule in a checkout.
pub fn check(root: &Path) -> Result<Vec<Violation>> {
    let mut sources = Vec::new();
    collect(root, root, &mut sources)?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    let mut violations: Vec<Violation> = sources.iter().flat_map(text::check).collect();
    violations.extend(house::check(&sources));
    Ok(violations)
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path: PathBuf = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            let hidden = name.starts_with('.') && ![".ci", ".cargo", ".github"].contains(&name.as_str());
            if !hidden && name != "target" {
                collect(root, &path, sources)?;
            }
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            // What is not text has no lines to keep rules in; the file `.git` of a worktree is git's own.
            if name == ".git" {
                continue;
            }
            let path = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            sources.push(Source { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_keeps_its_rules() {
        let violations = check(&crate::place::root()).unwrap();
        let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(list.is_empty(), "house rules are broken:\n{}", list.join("\n"));
    }
}
