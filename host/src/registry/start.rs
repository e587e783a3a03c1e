//! From a configuration to a registry.

use super::{Instance, Plugins, Registry};
use crate::config::{Config, InstanceConfig, Problem, Problems, check};
use crate::error::CallError;
use crate::faults::{Faults, Targets};
use crate::telemetry::Telemetry;
use chassis_loader::Plugin;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

pub(super) async fn start(
    begun: Instant,
    config: &Config,
    mut plugins: Plugins,
    telemetry: &Telemetry,
    statics: &BTreeMap<String, SocketAddr>,
) -> Result<Registry, Problems> {
    let checked = check::check(config, &plugins)?;
    let secrets = Arc::new(checked.secrets);
    let needed = config.instances.values().map(|instance| instance.plugin.as_str());
    plugins.load(needed, config.generations_dir.clone()).await;
    for (name, available) in &plugins.available {
        let Some(plugin) = &available.plugin else { continue };
        let (manifest, generation) = (plugin.manifest(), plugin.generation());
        let (abi, took) = (available.inspected.abi, available.took);
        telemetry.metrics().plugin_info(name, &manifest.version, abi, generation, "none").set(1.0);
        tracing::info!(
            plugin = name,
            version = manifest.version,
            build = plugin.build_id(),
            ms = ms(took),
            "plugin loaded"
        );
    }
    let loaded_in = begun.elapsed();
    tracing::info!(
        loaded = plugins.available.values().filter(|available| available.plugin.is_some()).count(),
        refused = plugins.refused.len(),
        ms = ms(loaded_in),
        "plugins ready"
    );
    let faults = Arc::new(faults(config, &plugins, telemetry)?);
    let mut makes = JoinSet::new();
    let mut problems = Problems::default();
    for (name, instance) in &config.instances {
        let plugin = match loaded(&plugins, name, instance) {
            Ok(plugin) => plugin,
            Err(problem) => {
                problems.0.push(problem);
                continue;
            }
        };
        let mut values = checked.values.get(name).cloned().unwrap_or_default();
        if let Err(problem) = fill_statics(&mut values, statics) {
            problems.0.push(problem.at(&instance.origin).field(format!("instances.{name}.config")));
            continue;
        }
        let (name, instance, secrets, telemetry, faults) =
            (name.clone(), instance.clone(), secrets.clone(), telemetry.clone(), faults.clone());
        makes.spawn_blocking(move || {
            let begun = Instant::now();
            let made = Instance::create(&name, plugin, &instance, values, secrets, &telemetry, &faults);
            (name, instance, made, begun.elapsed())
        });
    }
    let mut instances = BTreeMap::new();
    for (name, config, made, took) in makes.join_all().await {
        match made {
            Ok(instance) => {
                tracing::info!(instance = name, plugin = config.plugin, ms = ms(took), "instance made");
                instances.insert(name, Arc::new(instance));
            }
            Err(error) => problems.0.push(refused(&name, &config, &error)),
        }
    }
    problems.into_result()?;
    let roles =
        config.roles.iter().filter_map(|(role, name)| Some((role.clone(), instances.get(name)?.clone())));
    let roles = roles.collect();
    let (health, players) = (config.health.clone(), Default::default());
    Ok(Registry { plugins, instances, roles, players, health, faults, loaded_in })
}

/// The faults of the configuration, in force from the first call on.
fn faults(config: &Config, plugins: &Plugins, telemetry: &Telemetry) -> Result<Faults, Problems> {
    let operations = |instance: &InstanceConfig| {
        let manifest = plugins.manifest(&instance.plugin)?;
        Some(manifest.operations.iter().map(|operation| operation.name.clone()).collect())
    };
    let instances = config.instances.iter();
    let targets = Targets {
        instances: instances
            .filter_map(|(name, instance)| Some((name.clone(), operations(instance)?)))
            .collect(),
        roles: config.roles.clone(),
    };
    let faults = Faults::new(config.fault_injection.clone(), targets, Some(telemetry.clone()));
    if !faults.enabled() && !config.faults.is_empty() {
        tracing::warn!(
            faults = config.faults.len(),
            "the configured faults are off: fault_injection.enabled is not true"
        );
        return Ok(faults);
    }
    let mut problems = Problems::default();
    for (at, fault) in config.faults.iter().enumerate() {
        if let Err(failure) = faults.set(fault.clone()) {
            let field = failure.error.field.as_deref().map(|field| format!(".{field}")).unwrap_or_default();
            problems.0.push(Problem::new(&*failure.error.message).field(format!("faults[{at}]{field}")));
        }
    }
    problems.into_result()?;
    Ok(faults)
}

fn loaded(plugins: &Plugins, name: &str, instance: &InstanceConfig) -> Result<Arc<Plugin>, Problem> {
    let plugin = plugins.available.get(&instance.plugin).and_then(|available| available.plugin.clone());
    plugin.ok_or_else(|| {
        // Its file was sound and its loading was refused, which has been logged and is repeated here.
        let refusal = plugins.refused.last().map_or("it was refused", |refused| &refused.message);
        Problem::new(format!("the plugin `{}` is not loaded: {refusal}", instance.plugin))
            .at(&instance.origin)
            .field(format!("instances.{name}.plugin"))
    })
}

fn refused(name: &str, config: &InstanceConfig, error: &CallError) -> Problem {
    let pointer = error.field.as_deref().unwrap_or_default();
    let field = pointer.trim_start_matches('/').replace('/', ".");
    let node = config.config.at(field.split('.').filter(|key| !key.is_empty()));
    let origin = node.map_or(&config.origin, |node| &node.origin);
    let path = if field.is_empty() { String::new() } else { format!(".{field}") };
    let causes: String = error.causes.iter().map(|cause| format!(": {cause}")).collect();
    Problem::new(format!("the plugin `{}` refuses it: {}{causes}", config.plugin, error.message))
        .at(origin)
        .field(format!("instances.{name}.config{path}"))
}

/// Puts the addresses of the host's static servers where `${static:NAME}` asks for them.
fn fill_statics(value: &mut Value, statics: &BTreeMap<String, SocketAddr>) -> Result<(), Problem> {
    match value {
        Value::String(text) => {
            while let Some(at) = text.find("${static:") {
                let end = text[at..].find('}').map_or(text.len(), |end| at + end);
                let name = &text[at + "${static:".len()..end];
                let Some(address) = statics.get(name) else {
                    return Err(Problem::new(format!("there is no static server `{name}`"))
                        .known(name, statics.keys().map(String::as_str)));
                };
                text.replace_range(at..(end + 1).min(text.len()), &address.to_string());
            }
            Ok(())
        }
        Value::Array(list) => list.iter_mut().try_for_each(|value| fill_statics(value, statics)),
        Value::Object(table) => table.values_mut().try_for_each(|value| fill_statics(value, statics)),
        _ => Ok(()),
    }
}

fn ms(took: std::time::Duration) -> f64 {
    (took.as_secs_f64() * 1e4).round() / 10.0
}
