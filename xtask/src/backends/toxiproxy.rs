//! Toxiproxy: no backend, but what stands before one when its network is to be bad. Built from its Go module into the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::install::{Skipped, cached};
use crate::place::on_path;
use crate::run::logged;

const MODULE: &str = "github.com/Shopify/toxiproxy/v2/cmd/server";
const VERSION: &str = "v2.5.0";

/// The server's program, after building it.
pub fn toxiproxy() -> Result<PathBuf> {
    Ok(cached(&format!("toxiproxy-{VERSION}"), make)?.join("bin/server"))
}

fn make(folder: &Path) -> Result<()> {
    let go = on_path("go").context("go is not on PATH; Toxiproxy is built with it")?;
    let module = format!("{MODULE}@{VERSION}");
    let mut install = Command::new(go);
    install.args(["install", &module]).env("GOBIN", folder.join("bin")).env("CGO_ENABLED", "0");
    logged("toxiproxy", &format!("building {module}"), &mut install, &folder.join("make.log"))
        .map_err(|error| Skipped(format!("{error:#}")).into())
}
