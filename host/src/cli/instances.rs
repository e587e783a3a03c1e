//! `chassis instances`

use super::{Exit, Global, table};
use crate::config::check;
use crate::policy::{Meters, Shared, Stack};
use crate::registry::{Names, Plugins};
use chassis_abi::manifest::Operation;
use clap::Args;
use metrics::Counter;
use serde_json::{Value, json};
use std::process::ExitCode;
use tokio::time::Instant;

/// List the profile's instances with their operations; runs none of their code
#[derive(Debug, Args)]
pub struct InstancesArgs {
    /// Only this one, with what each operation takes
    instance: Option<String>,
}

impl InstancesArgs {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        let mut config = global.load()?;
        if let Some(wanted) = &self.instance {
            config.only(wanted);
        }
        let plugins = Plugins::inspect(&config.plugins_dir).await?;
        check::check(&config, &plugins)?;
        let mut shown = Vec::new();
        for (name, instance) in &config.instances {
            let Some(manifest) = plugins.manifest(&instance.plugin) else { continue };
            let roles =
                config.roles.iter().filter(|(_, player)| *player == name).map(|(role, _)| role.as_str());
            let roles: Vec<&str> = roles.collect();
            let names = Names::new(manifest, instance.contract.as_deref());
            let now = Instant::now();
            let shared = Shared::new(name.as_str().into(), &instance.policy, Meters::default(), now);
            let policies = |operation: &Operation| {
                Stack::new(&instance.policy, operation, &shared, Counter::noop(), now)
            };
            let operations: Vec<_> = names
                .shown()
                .map(|(name, at)| (name.to_owned(), &manifest.operations[at as usize]))
                .collect();
            if !global.json {
                println!("{name}: {} {}, plays {}", manifest.name, manifest.version, roles.join(", "));
                table::print(
                    ["  operation", "effect", "takes", "what it does"],
                    operations.iter().map(|(name, operation)| {
                        let takes = operation.input.get("properties").and_then(|fields| fields.as_object());
                        let takes = takes.map(|fields| fields.keys().cloned().collect::<Vec<_>>().join(", "));
                        let effect = format!("{:?}", operation.effect).to_lowercase();
                        [format!("  {name}"), effect, takes.unwrap_or_default(), operation.summary.clone()]
                    }),
                );
                if self.instance.is_some() {
                    println!();
                    table::print(
                        ["  operation", "deadline", "a try", "retries", "breaker", "gathered"],
                        operations.iter().map(|(name, operation)| limits(name, &policies(operation).shown())),
                    );
                }
                println!();
            }
            let operations = operations.iter().map(|(name, operation)| {
                let mut shown = json!({ "name": name, "summary": operation.summary, "effect": operation.effect,
                                        "stream": operation.item.is_some() });
                if self.instance.is_some() {
                    shown["policies"] = policies(operation).shown();
                    shown["input"] = operation.input.clone();
                    shown["output"] = operation.output.clone();
                }
                shown
            });
            shown.push(
                json!({ "name": name, "plugin": manifest.name, "contract": instance.contract, "roles": roles,
                               "operations": operations.collect::<Vec<_>>() }),
            );
        }
        if global.json {
            println!("{}", json!({ "instances": shown }));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// An operation's policies in a line.
fn limits(name: &str, policies: &Value) -> [String; 6] {
    let text = |pointer: &str, unit: &str| match policies.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => format!("{number}{unit}"),
        _ => "off".to_owned(),
    };
    [
        format!("  {name}"),
        text("/deadline", ""),
        text("/attempt_timeout", ""),
        text("/retry/retries", ""),
        text("/breaker/consecutive", " in a row"),
        text("/coalesce/items", " at most"),
    ]
}
