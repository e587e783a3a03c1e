//! Whether the instances fit their plugins, as far as the plugins' files tell. None of their code runs.

use super::problem::Problem;
use super::schema::fit;
use super::{Config, InstanceConfig, Problems, Secrets};
use crate::registry::{Names, Plugins};
use chassis_abi::manifest::Manifest;
use serde_json::Value;
use std::collections::BTreeMap;

/// A configuration that fits.
#[derive(Debug)]
pub struct Checked {
    /// The plugins' own settings, by instance: texts from variables and files turned into what the plugin asks for.
    pub values: BTreeMap<String, Value>,
    /// Every secret that is known now.
    pub secrets: Secrets,
}

/// Checks every instance against its plugin's manifest.
pub fn check(config: &Config, plugins: &Plugins) -> Result<Checked, Problems> {
    let mut problems = Problems::default();
    let mut checked = Checked { values: BTreeMap::new(), secrets: config.secrets.clone() };
    for (name, instance) in &config.instances {
        let Some(manifest) = plugins.manifest(&instance.plugin) else {
            problems.0.push(unknown_plugin(
                name,
                instance,
                plugins,
                &config.plugins_dir.display().to_string(),
            ));
            continue;
        };
        check_contract(name, instance, manifest, &mut problems);
        check_policy(name, instance, manifest, &mut problems);
        let path = format!("instances.{name}.config");
        let value = fit(&instance.config, &manifest.config, &path, &mut problems);
        checked.secrets.add_pointers(&value, &manifest.secrets);
        checked.values.insert(name.clone(), value);
    }
    for problem in &mut problems.0 {
        checked.secrets.scrub_mut(&mut problem.message);
    }
    problems.into_result()?;
    Ok(checked)
}

fn unknown_plugin(name: &str, instance: &InstanceConfig, plugins: &Plugins, folder: &str) -> Problem {
    let at = instance.config_key("plugin");
    let wanted = &instance.plugin;
    let problem = Problem::new(format!("there is no plugin `{wanted}` in {folder}"));
    let problem = problem.at(at).field(format!("instances.{name}.plugin"));
    let file = format!("_{}.", wanted.replace('-', "_"));
    match plugins.refused.iter().find(|refused| refused.path.to_string_lossy().contains(&file)) {
        Some(refused) => problem.advice(refused.message.clone()),
        None if plugins.available.is_empty() => {
            problem.advice("the folder holds no plugin: build them first")
        }
        None => problem.known(wanted, plugins.available.keys().map(String::as_str)),
    }
}

fn check_contract(name: &str, instance: &InstanceConfig, manifest: &Manifest, problems: &mut Problems) {
    let Some(contract) = &instance.contract else { return };
    if !manifest.contracts.contains(contract) {
        problems.0.push(
            Problem::new(format!(
                "the plugin `{}` does not implement the contract `{contract}`",
                manifest.name
            ))
            .at(instance.config_key("contract"))
            .field(format!("instances.{name}.contract"))
            .known(contract, manifest.contracts.iter().map(String::as_str)),
        );
    }
}

fn check_policy(name: &str, instance: &InstanceConfig, manifest: &Manifest, problems: &mut Problems) {
    let names = Names::new(manifest, instance.contract.as_deref());
    for operation in instance.policy.operations.keys() {
        if !manifest.operations.iter().any(|known| known.name == *operation) {
            problems.0.push(
                Problem::new(format!("the plugin `{}` has no operation `{operation}`", manifest.name))
                    .at(&instance.origin)
                    .field(format!("instances.{name}.policy.operations.{operation}"))
                    .known(operation, names.shown().map(|(name, _)| name)),
            );
        }
    }
}
