//! `chassis demo`

use super::{Exit, Global, exit};
use crate::demo;
use clap::Args;
use std::process::ExitCode;

/// Play the whole story over the profile's backends, and check every claim in the stores
///
/// On real servers one of them is stopped and started by the shell commands in CHASSIS_DEMO_STOP and CHASSIS_DEMO_START
/// (`{backend}` stands for the instance); `cargo xtask demo --profile local` sets both.
#[derive(Debug, Args)]
pub struct Demo {}

impl Demo {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        let binary = std::env::current_exe()
            .map_err(|error| Exit::failed(format!("this program does not know its own path: {error}")))?;
        let options = demo::Options { source: global.source(), binary, json: global.json };
        let report = demo::run(&options).await?;
        Ok(if report.ok() { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
    }
}
