//! Rules about the whole: which files there are, and what must stand in them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, Violation};

const FORBID: &str = concat!("#![forbid(un", "safe_code)]");
const RAW: &str = concat!("from_raw", "_parts");

/// What every plugin folder holds, so that who knows one knows all.
const PLUGIN_FILES: [&str; 10] = [
    "Cargo.toml",
    "plugin.toml",
    "manifest.json",
    "README.md",
    "src/lib.rs",
    "src/config.rs",
    "src/ops.rs",
    "src/driver.rs",
    "src/error.rs",
    "tests/conformance.rs",
];

/// Every rule that the checkout breaks.
pub fn check(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    lints(sources, &mut found);
    forbidden(sources, &mut found);
    plugin_files(sources, &mut found);
    raw_parts(sources, &mut found);
    found
}

/// A crate without `[lints] workspace = true` is checked by nothing.
fn lints(sources: &[Source], found: &mut Vec<Violation>) {
    for source in sources.iter().filter(|source| source.path.ends_with("Cargo.toml")) {
        let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
        let is_crate = lines.contains(&"[package]");
        let inherits = lines.windows(2).any(|pair| pair == ["[lints]", "workspace = true"]);
        if is_crate && !inherits {
            let advice = "add `[lints]` with `workspace = true`, or its lints are off";
            found.push(Violation::new(&source.path, lines.len(), advice));
        }
    }
}

/// Outside the contract the compiler itself keeps the rule.
fn forbidden(sources: &[Source], found: &mut Vec<Violation>) {
    for source in sources {
        let parts: Vec<&str> = source.path.split('/').collect();
        let top = match parts[..] {
            ["host" | "xtask", "src", file] => ["lib.rs", "main.rs"].contains(&file),
            ["plugins" | "examples", _, "src", "lib.rs"] => true,
            _ => false,
        };
        if top && !source.text.lines().any(|line| line.trim() == FORBID) {
            found.push(Violation::new(&source.path, 1, format!("begin with `{FORBID}`")));
        }
    }
}

fn plugin_files(sources: &[Source], found: &mut Vec<Violation>) {
    let paths: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let plugins: BTreeSet<&str> = paths
        .iter()
        .filter_map(|path| path.strip_prefix("plugins/")?.split_once('/'))
        .map(|(name, _)| name)
        .collect();
    for plugin in plugins {
        for file in PLUGIN_FILES {
            let path = format!("plugins/{plugin}/{file}");
            if !paths.contains(path.as_str()) {
                found.push(Violation::new(path, 1, "missing; every plugin folder has the same files"));
            }
        }
    }
}

/// Where pointers become slices is one file per side of the boundary, to be read in one sitting.
fn raw_parts(sources: &[Source], found: &mut Vec<Violation>) {
    let mut files: BTreeMap<String, Vec<(&str, usize)>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.path.ends_with(".rs")) {
        let code = |line: &&str| line.split("//").next().unwrap_or_default().contains(RAW);
        if let Some((number, _)) = (1..).zip(source.text.lines()).find(|(_, line)| code(line)) {
            let side: Vec<&str> = source.path.split('/').take(2).collect();
            files.entry(side.join("/")).or_default().push((&source.path, number));
        }
    }
    for (side, files) in files {
        let allowed = usize::from(side.starts_with("contract/"));
        for (file, line) in files.into_iter().skip(allowed) {
            let advice =
                format!("{RAW} stands in one file of each crate of contract/; use that file's functions");
            found.push(Violation::new(file, line, advice));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(files: &[(&str, &str)]) -> Vec<String> {
        let source = |(path, text): &(&str, &str)| Source { path: path.to_string(), text: text.to_string() };
        let sources: Vec<Source> = files.iter().map(source).collect();
        check(&sources).iter().map(|violation| format!("{}:{}", violation.file, violation.line)).collect()
    }

    #[test]
    fn each_rule_finds_its_place() {
        assert_eq!(broken(&[("host/Cargo.toml", "[package]\nname = \"x\"\n")]), ["host/Cargo.toml:2"]);
        assert!(broken(&[("host/Cargo.toml", "[package]\n[lints]\nworkspace = true\n")]).is_empty());
        assert_eq!(broken(&[("host/src/main.rs", "fn main() {}\n")]), ["host/src/main.rs:1"]);
        assert!(broken(&[("host/src/other.rs", ""), ("host/src/main.rs", FORBID)]).is_empty());
        let one = format!("\n{RAW}(a, b)\n");
        let slices = [("contract/abi/src/a.rs", one.as_str()), ("contract/abi/src/b.rs", &one)];
        assert_eq!(broken(&slices), ["contract/abi/src/b.rs:2"]);
        assert_eq!(broken(&[("host/src/a.rs", one.as_str())]), ["host/src/a.rs:2"]);
    }

    #[test]
    fn a_plugin_folder_lacks_nothing() {
        let whole: Vec<(String, String)> =
            PLUGIN_FILES.iter().map(|file| (format!("plugins/redis/{file}"), FORBID.to_owned())).collect();
        let mut files: Vec<(&str, &str)> =
            whole.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        assert!(broken(&files).is_empty());
        files.retain(|(path, _)| !path.ends_with("ops.rs"));
        assert_eq!(broken(&files), ["plugins/redis/src/ops.rs:1"]);
    }
}
