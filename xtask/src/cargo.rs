//! Calling cargo, and reading what it built.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::place::root;

/// Something that cargo built: a library or an executable.
#[derive(Debug, PartialEq)]
pub struct Artifact {
    pub package: String,
    /// `lib`, `bin`, `test`, `cdylib`, …
    pub kinds: Vec<String>,
    pub files: Vec<PathBuf>,
    pub executable: Option<PathBuf>,
}

impl Artifact {
    /// The shared library that a host can load, if this is one.
    pub fn shared_library(&self) -> Option<&PathBuf> {
        self.kinds.iter().find(|kind| *kind == "cdylib")?;
        let ending = std::env::consts::DLL_EXTENSION;
        self.files.iter().find(|file| file.extension().is_some_and(|extension| extension == ending))
    }
}

/// A cargo command at the root of the checkout.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    // What cargo told this program of itself. `ring` is built anew when one of these changes, and with it half of the house: a build
    // from here and one by hand would undo each other.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a cargo command that builds; its progress goes to the terminal, what it built comes back.
pub fn artifacts(arguments: &[&str]) -> Result<Vec<Artifact>> {
    let mut command = cargo(arguments);
    command.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut artifacts = Vec::new();
    for line in BufReader::new(output).lines() {
        artifacts.extend(artifact(&line?));
    }
    if !child.wait()?.success() {
        bail!("`cargo {}` failed; the reason stands above", arguments.join(" "));
    }
    Ok(artifacts)
}

fn artifact(line: &str) -> Option<Artifact> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    Some(Artifact {
        package: package_name(message["package_id"].as_str()?).to_owned(),
        kinds: strings(&message["target"]["kind"]),
        files: strings(&message["filenames"]).into_iter().map(PathBuf::from).collect(),
        executable: message["executable"].as_str().map(PathBuf::from),
    })
}

/// `path+file:///x/plugins/redis#chassis-plugin-redis@0.1.0` or `path+file:///x/xtask#0.1.0`.
fn package_name(id: &str) -> &str {
    let (address, version) = id.rsplit_once('#').unwrap_or((id, ""));
    match version.split_once('@') {
        Some((name, _)) => name,
        None => address.rsplit('/').next().unwrap_or(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_both_kinds_of_ids() {
        assert_eq!(
            package_name("path+file:///x/plugins/redis#chassis-plugin-redis@0.1.0"),
            "chassis-plugin-redis"
        );
        assert_eq!(package_name("path+file:///x/xtask#0.1.0"), "xtask");
    }

    #[test]
    fn a_shared_library_is_found_among_the_files() {
        let name = format!("/t/debug/libchassis_redis.{}", std::env::consts::DLL_EXTENSION);
        let line = serde_json::json!({
            "reason": "compiler-artifact",
            "package_id": "path+file:///x/plugins/redis#chassis-plugin-redis@0.1.0",
            "target": {"kind": ["cdylib", "rlib"]},
            "filenames": [name, "/t/debug/libchassis_redis.rlib"],
            "executable": null,
        });
        let artifact = artifact(&line.to_string()).unwrap();
        assert_eq!(artifact.shared_library(), Some(&PathBuf::from(name)));
        assert_eq!(super::artifact(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
