//! `chassis plugins`

use super::{Exit, Global, table};
use crate::registry::Plugins;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

/// List the libraries in the folder of plugins, and why any is refused; runs none of their code
#[derive(Debug, Args)]
pub struct PluginsArgs {}

impl PluginsArgs {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        let config = global.load()?;
        let plugins = Plugins::inspect(&config.plugins_dir).await?;
        if global.json {
            let available = plugins.available.values().map(|available| {
                let inspected = &available.inspected;
                let manifest = &inspected.manifest;
                json!({
                    "name": manifest.name, "version": manifest.version, "description": manifest.description,
                    "abi": format!("{}.{}", inspected.abi.0, inspected.abi.1), "build_id": inspected.build_id,
                    "path": inspected.path, "contracts": manifest.contracts, "permissions": manifest.permissions,
                    "operations": manifest.operations.len(), "took_ms": available.took.as_secs_f64() * 1e3,
                })
            });
            println!("{}", json!({ "plugins": available.collect::<Vec<_>>(), "refused": plugins.refused }));
            return Ok(ExitCode::SUCCESS);
        }
        let rows = plugins.available.values().map(|available| {
            let manifest = &available.inspected.manifest;
            let reach = manifest.permissions.network.iter().chain(&manifest.permissions.files);
            [
                manifest.name.clone(),
                manifest.version.clone(),
                manifest.contracts.join(", "),
                manifest.operations.len().to_string(),
                reach.cloned().collect::<Vec<_>>().join(" "),
                available.inspected.build_id.clone(),
            ]
        });
        table::print(["plugin", "version", "contracts", "operations", "reaches for", "build"], rows);
        for refused in &plugins.refused {
            println!("\n{}", refused.message);
        }
        Ok(ExitCode::SUCCESS)
    }
}
