//! Compose's own loader: reads a compose file as Compose does, without an engine. Built from its Go module into the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::install::{Skipped, cached};
use crate::place::on_path;
use crate::run::logged;

const MODULE: &str = "github.com/compose-spec/compose-go/v2/cmd";
const VERSION: &str = "v2.16.2";

/// The loader's program, after building it: `--format json FILE` prints what Compose understood.
pub fn compose_loader() -> Result<PathBuf> {
    Ok(cached(&format!("compose-loader-{VERSION}"), make)?.join("bin/cmd"))
}

fn make(folder: &Path) -> Result<()> {
    let go = on_path("go")
        .ok_or_else(|| Skipped("go is not on PATH; Compose's loader is built with it".to_owned()))?;
    let module = format!("{MODULE}@{VERSION}");
    let mut install = Command::new(go);
    install.args(["install", &module]).env("GOBIN", folder.join("bin")).env("CGO_ENABLED", "0");
    logged("compose", &format!("building {module}"), &mut install, &folder.join("make.log"))
        .map_err(|error| Skipped(format!("{error:#}")).into())
}
