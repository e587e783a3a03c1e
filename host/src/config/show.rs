//! Settings as they are shown: overrides filled in, secrets masked.

use super::secrets::{MASK, without_password};
use super::tree::{Node, Value as Written};
use super::{Config, Secrets};
use crate::registry::Plugins;
use chassis_abi::manifest::Manifest;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The settings in force. `plugins` tells which fields are secret; of a plugin that is not there, all that sound like it are.
pub fn shown(config: &Config, plugins: &Plugins) -> Value {
    let mut shown = json!({
        "plugins_dir": config.plugins_dir,
        "generations_dir": config.generations_dir,
        "flows_dir": config.flows_dir,
        "flows_reload": config.flows_reload,
        "edge": config.edge,
        "telemetry": config.telemetry,
        "journal": config.journal,
        "health": config.health,
        "shutdown": config.shutdown,
    });
    let mut secrets = config.secrets.clone();
    for (name, instance) in &config.instances {
        let manifest = plugins.manifest(&instance.plugin);
        if let Some(manifest) = manifest {
            secrets.add_pointers(&instance.config.json(), &manifest.secrets);
        }
        let mut masked = config.tree.at(["instances", name]).cloned().unwrap_or_else(Node::empty);
        if let Written::Table(table) = &mut masked.value
            && let Some(settings) = table.get_mut("config")
        {
            mask(settings, "", &Mask { manifest, secrets: &secrets });
        }
        shown["instances"][name] = masked.json();
    }
    for section in ["roles", "static", "fault_injection", "faults"] {
        if let Some(node) = config.tree.at([section]) {
            shown[section] = node.json();
        }
    }
    scrub(&mut shown, &secrets);
    shown
}

/// As a configuration file.
pub fn toml(shown: &Value) -> String {
    toml::to_string(&without_nulls(shown)).unwrap_or_else(|_| format!("{shown:#}\n"))
}

struct Mask<'a> {
    manifest: Option<&'a Arc<Manifest>>,
    secrets: &'a Secrets,
}

fn mask(node: &mut Node, pointer: &str, masks: &Mask<'_>) {
    match &mut node.value {
        Written::Text(text) => {
            text.text = match without_password(&text.text) {
                _ if text.secret => MASK.to_owned(),
                // The address is no secret, and helps to see what is configured.
                masked if text.text.contains("://") => masks.secrets.scrub(&masked).into_owned(),
                _ if masks.hides(pointer, &text.text) => MASK.to_owned(),
                plain => masks.secrets.scrub(&plain).into_owned(),
            };
        }
        Written::List(list) => list.iter_mut().for_each(|node| mask(node, pointer, masks)),
        Written::Table(table) => {
            for (key, node) in table {
                mask(node, &format!("{pointer}/{key}"), masks);
            }
        }
        _ => {}
    }
}

impl Mask<'_> {
    fn hides(&self, pointer: &str, text: &str) -> bool {
        let Some(manifest) = self.manifest else { return sounds_secret(pointer) };
        // What is below a secret is secret: headers, for example.
        let below = |secret: &String| {
            pointer.strip_prefix(secret).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if manifest.secrets.iter().any(below) {
            return true;
        }
        // A secret under a misspelt name, or in the place of a number, is one all the same.
        let field = pointer.split('/').nth(1).unwrap_or_default();
        let Some(schema) = manifest.config.pointer(&format!("/properties/{field}")) else { return true };
        let numeric = ["integer", "number", "boolean"].iter().any(|kind| {
            schema["type"] == *kind
                || schema["type"].as_array().is_some_and(|kinds| kinds.contains(&json!(kind)))
        });
        numeric && serde_json::from_str::<Value>(text).is_err()
    }
}

fn sounds_secret(pointer: &str) -> bool {
    let name = pointer.to_lowercase();
    ["password", "secret", "token", "bearer", "key", "credential", "header"]
        .iter()
        .any(|word| name.contains(word))
}

fn scrub(value: &mut Value, secrets: &Secrets) {
    match value {
        Value::String(text) => secrets.scrub_mut(text),
        Value::Array(list) => list.iter_mut().for_each(|value| scrub(value, secrets)),
        Value::Object(table) => table.values_mut().for_each(|value| scrub(value, secrets)),
        _ => {}
    }
}

/// TOML has no null; a setting that is not there is left out.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(table) => {
            let kept = table.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect::<Map<_, _>>())
        }
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
