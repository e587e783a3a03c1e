//! `chassis config`

use super::{Exit, Global};
use crate::app::StartError;
use crate::config::{check, show};
use crate::flow::FlowSet;
use crate::flow::check::{World, check_all};
use crate::registry::Plugins;
use crate::telemetry::Telemetry;
use clap::{Args, Subcommand};
use serde_json::json;
use std::process::ExitCode;

/// Look at the configuration
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Tell everything that is wrong, with file, line, field and the nearest right name; starts nothing
    Check,
    /// Print the settings in force, with overrides filled in and secrets masked
    Show,
}

impl ConfigArgs {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        let config = global.load()?;
        match self.command {
            ConfigCommand::Show => {
                // Without its plugins a configuration can be shown too; then whatever looks like a secret is masked.
                let plugins = Plugins::inspect(&config.plugins_dir).await.unwrap_or_default();
                let shown = show::shown(&config, &plugins);
                if global.json {
                    println!("{shown:#}");
                } else {
                    print!("{}", show::toml(&shown));
                }
            }
            ConfigCommand::Check => {
                let plugins = Plugins::inspect(&config.plugins_dir).await?;
                check::check(&config, &plugins)?;
                Telemetry::check(&config.telemetry).map_err(StartError::from)?;
                let flows = FlowSet::load(&config.flows_dir).map_err(StartError::from)?;
                check_all(&World::new(&config, &plugins), &flows)?;
                let (instances, flows) = (config.instances.len(), flows.iter().count());
                if global.json {
                    println!(
                        "{}",
                        json!({ "ok": true, "config": config.name, "instances": instances, "flows": flows })
                    );
                } else {
                    println!("{} is right: {instances} instances, {flows} flows", config.name);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
