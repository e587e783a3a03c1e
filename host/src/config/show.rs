//! Settings as they are shown: overrides filled in, secrets masked.

use super::secrets::{MASK, without_password};
use super::tree::{Node, Value as Written};
use super::{Config, Secrets};
use crate::registry::Plugins;
use serde_json::{Map, Value, json};

/// The settings in force. `plugins` tells which fields are secret; of a plugin that is not there, all that sound like it are.
pub fn shown(config: &Config, plugins: &Plugins) -> Value {
    let mut shown = json!({
        "plugins_dir": config.plugins_dir,
        "flows_dir": config.flows_dir,
        "edge": config.edge,
        "telemetry": config.telemetry,
        "health": config.health,
        "shutdown": config.shutdown,
    });
    let mut secrets = config.secrets.clone();
    for (name, instance) in &config.instances {
        if let Some(manifest) = plugins.manifest(&instance.plugin) {
            secrets.add_pointers(&instance.config.json(), &manifest.secrets);
        }
        let pointers = plugins.manifest(&instance.plugin).map(|manifest| manifest.secrets.as_slice());
        let mut masked = config.tree.at(["instances", name]).cloned().unwrap_or_else(Node::empty);
        if let Written::Table(table) = &mut masked.value
            && let Some(settings) = table.get_mut("config")
        {
            mask(settings, "", pointers, &secrets);
        }
        shown["instances"][name] = masked.json();
    }
    for section in ["roles", "static"] {
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

fn mask(node: &mut Node, pointer: &str, secret: Option<&[String]>, secrets: &Secrets) {
    let hidden = |pointer: &str| match secret {
        Some(pointers) => pointers.iter().any(|known| known == pointer),
        None => sounds_secret(pointer),
    };
    match &mut node.value {
        Written::Text(text) if text.secret => text.text = MASK.to_owned(),
        Written::Text(text) => {
            text.text = match without_password(&text.text) {
                // The address is no secret, and helps to see what is configured.
                masked if text.text.contains("://") => secrets.scrub(&masked).into_owned(),
                _ if hidden(pointer) => MASK.to_owned(),
                plain => secrets.scrub(&plain).into_owned(),
            };
        }
        Written::List(list) => {
            list.iter_mut().for_each(|node| mask(node, pointer, secret, secrets));
        }
        Written::Table(table) => {
            for (key, node) in table {
                let below = format!("{pointer}/{key}");
                // What is below a secret is secret: headers, for example.
                let below = if hidden(pointer) { pointer.to_owned() } else { below };
                mask(node, &below, secret, secrets);
            }
        }
        _ => {}
    }
}

fn sounds_secret(pointer: &str) -> bool {
    let name = pointer.to_lowercase();
    ["password", "secret", "token", "bearer", "key", "credential", "header"].iter().any(|word| name.contains(word))
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
