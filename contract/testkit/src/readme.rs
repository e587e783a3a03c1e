//! What is generated from a plugin's types: its `manifest.json`, and a part of its README.

use chassis_loader::manifest::{Effect, Manifest, Operation};
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

const BEGIN: &str = "<!-- generated: `cargo xtask manifest` -->";
const END: &str = "<!-- end of what is generated -->";

/// Sees that `manifest.json` and the generated part of `README.md` in `dir` are what the types say; with `CHASSIS_BLESS=1`
/// writes them instead.
///
/// # Panics
/// When one is stale.
pub fn manifest(dir: &str, json: &str) {
    let bless = std::env::var_os("CHASSIS_BLESS").is_some_and(|value| value == "1");
    let parsed: Manifest = match serde_json::from_str(json) {
        Ok(manifest) => manifest,
        Err(error) => panic!("the manifest cannot be read back: {error}"),
    };
    let readme = Path::new(dir).join("README.md");
    let text = std::fs::read_to_string(&readme).unwrap_or_else(|_| format!("# {}\n", parsed.name));
    current(&Path::new(dir).join("manifest.json"), json, bless);
    current(&readme, &with_generated(&text, &describe(&parsed)), bless);
}

fn current(path: &Path, expected: &str, bless: bool) {
    let written = std::fs::read_to_string(path).unwrap_or_default();
    if written == expected {
        return;
    }
    assert!(bless, "{} is stale: run `cargo xtask manifest`", path.display());
    if let Err(error) = std::fs::write(path, expected) {
        panic!("cannot write {}: {error}", path.display());
    }
}

fn with_generated(text: &str, generated: &str) -> String {
    let (before, rest) = text.split_once(BEGIN).unwrap_or((text, ""));
    let after = rest.split_once(END).map_or("\n", |(_, after)| after);
    format!("{}\n\n{BEGIN}\n{generated}\n{END}{after}", before.trim_end())
}

fn describe(manifest: &Manifest) -> String {
    let mut text =
        format!("\n{}\n\n## Settings\n\n| setting | type | meaning |\n|---|---|---|\n", manifest.description);
    settings(&manifest.config, "", &mut text);
    for contract in manifest.contracts.iter().map(|name| Some(name.as_str())).chain([None]) {
        let operations =
            manifest.operations.iter().filter(|operation| operation.contract.as_deref() == contract);
        let heading =
            contract.map_or("Other operations".to_owned(), |name| format!("Operations of `{name}`"));
        let _ = write!(text, "\n## {heading}\n\n| operation | meaning | may be repeated |\n|---|---|---|\n");
        for operation in operations {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} |",
                signature(operation),
                operation.summary,
                repeat(operation)
            );
        }
    }
    text
}

fn settings(schema: &Value, prefix: &str, text: &mut String) {
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let kind = match property.get("type") {
            Some(Value::Array(kinds)) => {
                kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
            }
            Some(kind) => kind.as_str().unwrap_or_default().to_owned(),
            None => "value".to_owned(),
        };
        let mut meaning = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        if let Some(default) = property.get("default").filter(|default| !default.is_null()) {
            let _ = write!(meaning, " Default: `{default}`.");
        }
        let _ = writeln!(text, "| `{prefix}{name}` | {kind} | {meaning} |");
        settings(property, &format!("{prefix}{name}."), text);
    }
}

fn signature(operation: &Operation) -> String {
    let fields = operation.input.get("properties").and_then(Value::as_object).into_iter().flatten();
    let required = operation.input.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let fields: Vec<String> = fields
        .map(
            |(name, _)| {
                if required.iter().any(|one| one == name) { name.clone() } else { format!("{name}?") }
            },
        )
        .collect();
    let arrow = if operation.item.is_some() { " → stream" } else { "" };
    format!("{}({}){arrow}", operation.name, fields.join(", "))
}

fn repeat(operation: &Operation) -> &'static str {
    match (operation.effect, operation.idempotent, operation.keyed) {
        (Effect::Read, true, _) => "yes, it only reads",
        (_, true, _) => "yes",
        (_, _, true) => "with an idempotency key",
        _ => "no",
    }
}
