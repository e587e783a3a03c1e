//! Jaeger v2, all of it but its web page: built from its Go module by `recipes/jaeger` into the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::install::{Skipped, cached};
use crate::place::{on_path, root};
use crate::run::logged;

const MODULE: &str = "github.com/jaegertracing/jaeger";

/// The server's program, after building it.
pub fn jaeger() -> Result<PathBuf> {
    let module =
        std::fs::read_to_string(recipe().join("go.mod")).context("cannot read the recipe's go.mod")?;
    Ok(cached(&format!("jaeger-{}", version(&module)?), make)?.join("jaeger"))
}

fn recipe() -> PathBuf {
    root().join("xtask/recipes/jaeger")
}

/// The version that a go.mod asks of Jaeger.
fn version(module: &str) -> Result<&str> {
    let line = module.lines().find_map(|line| line.trim().strip_prefix(MODULE)?.strip_prefix(' '));
    line.and_then(|rest| rest.split_whitespace().next())
        .context("the recipe's go.mod names no version of Jaeger")
}

fn make(folder: &Path) -> Result<()> {
    // `go install` refuses a module that replaces others; one of our own, which names it as a tool, builds it.
    let go = on_path("go").ok_or_else(|| Skipped("go is not on PATH; Jaeger is built with it".to_owned()))?;
    let mut build = Command::new(go);
    build
        .args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"])
        .arg(folder.join("jaeger"));
    build.arg(format!("{MODULE}/cmd/jaeger")).current_dir(recipe()).env("CGO_ENABLED", "0");
    logged(
        "jaeger",
        "building it from its Go module, minutes the first time",
        &mut build,
        &folder.join("make.log"),
    )
    .map_err(|error| Skipped(format!("{error:#}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_names_its_version() {
        let module = std::fs::read_to_string(recipe().join("go.mod")).unwrap();
        assert!(version(&module).unwrap().starts_with("v1."), "{:?}", version(&module));
        assert!(version("module x\n").is_err());
    }
}
