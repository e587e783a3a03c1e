//! What is no backend, and is had for tests all the same: each by its name.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use super::compose::compose_loader;
use super::install::Skipped;
use super::jaeger::jaeger;
use super::prometheus::{alertmanager, prometheus, promtool};
use super::toxiproxy::toxiproxy;

/// A program that is built or fetched into the cache, unless PATH has it.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Tool {
    /// Jaeger v2 without its web page, built with go
    Jaeger,
    /// Prometheus
    Prometheus,
    /// Checks and tests Prometheus' files
    Promtool,
    /// Alertmanager
    Alertmanager,
    /// Compose's own loader, built with go
    ComposeLoader,
    /// The proxy that makes networks bad, built with go
    Toxiproxy,
}

impl Tool {
    /// Its program, after getting it.
    pub fn path(self) -> Result<PathBuf> {
        match self {
            Tool::Jaeger => jaeger(),
            Tool::Prometheus => prometheus(),
            Tool::Promtool => promtool(),
            Tool::Alertmanager => alertmanager(),
            Tool::ComposeLoader => compose_loader(),
            Tool::Toxiproxy => toxiproxy(),
        }
    }
}

/// Prints where the program is; 3 if it can't be had here.
pub fn print(tool: Tool) -> Result<u8> {
    match tool.path() {
        Ok(path) => println!("{}", path.display()),
        Err(error) if error.is::<Skipped>() => {
            eprintln!("skipped: {error:#}");
            return Ok(3);
        }
        Err(error) => return Err(error),
    }
    Ok(0)
}
