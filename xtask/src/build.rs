//! `cargo xtask build`: plugin crates become shared libraries in `<target>/<profile>/plugins/`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::backends;
use crate::cargo::{Artifact, artifacts};
use crate::place::{root, target};
use crate::ui::{say, took};

#[derive(Args)]
pub struct Options {
    /// Which plugins: the names of folders under plugins/ and examples/. All, if none is named
    plugins: Vec<String>,
    /// Build with optimisation, into the folder release/plugins of the target folder
    #[arg(long)]
    release: bool,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<u8> {
    let plugins = chosen(&options.plugins)?;
    build(&plugins, options.release)?;
    Ok(0)
}

/// One plugin crate, found by its folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// The folder's name, which is the plugin's.
    pub name: String,
    pub package: String,
    pub folder: PathBuf,
    /// Below examples/: built and tested, but not part of the house.
    pub example: bool,
}

/// Every plugin of the checkout, by its folder; those under plugins/ first.
pub fn plugins() -> Result<Vec<Plugin>> {
    let mut found = Vec::new();
    for (folder, prefix, example) in
        [("plugins", "chassis-plugin-", false), ("examples", "chassis-example-", true)]
    {
        let folder = root().join(folder);
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut here = Vec::new();
        for entry in entries {
            let folder = entry?.path();
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if folder.join("Cargo.toml").exists() {
                here.push(Plugin { package: format!("{prefix}{name}"), name, folder, example });
            }
        }
        here.sort_by(|a, b| a.name.cmp(&b.name));
        found.extend(here);
    }
    Ok(found)
}

/// The plugins of these names; all for none.
pub fn chosen(names: &[String]) -> Result<Vec<Plugin>> {
    let all = plugins()?;
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let known = || all.iter().map(|plugin| plugin.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = all.iter().find(|plugin| plugin.name == *name).cloned();
        found.with_context(|| format!("there is no plugin `{name}`; the plugins are {}", known()))
    };
    names.iter().map(find).collect()
}

/// Builds plugins and installs them; gives the folder they are in.
pub fn build(plugins: &[Plugin], release: bool) -> Result<PathBuf> {
    build_with(plugins, &[], release)
}

/// The same, with other packages built in the one call of cargo.
pub fn build_with(plugins: &[Plugin], others: &[&str], release: bool) -> Result<PathBuf> {
    let begin = Instant::now();
    let mut arguments = vec!["build"];
    for package in plugins.iter().map(|plugin| plugin.package.as_str()).chain(others.iter().copied()) {
        arguments.extend(["-p", package]);
    }
    if release {
        arguments.push("--release");
    }
    let built = artifacts(&arguments)?;
    let folder = folder(release);
    let copied = install(plugins, &built, &folder)?;
    if let Some(plugin) = plugins.iter().find(|plugin| library(plugin, &built).is_none()) {
        let manifest = plugin.folder.join("Cargo.toml");
        bail!("{} is no shared library; give it crate-type = [\"cdylib\", \"rlib\"]", manifest.display());
    }
    let count = plugins.len();
    say(
        "build",
        &format!("{count} plugins, {copied} new, in {} ({})", folder.display(), took(begin.elapsed())),
    );
    Ok(folder)
}

/// What measures and proves, beside the host.
const PROGRAMS: [&str; 4] = ["chassis", "chassis-bench", "chassis-faults", "chassis-observe"];

/// All plugins and programs in one call of cargo, whatever is wanted of them: another set has other features, and is built from the
/// ground again. Gives the folder of the plugins.
pub fn everything(release: bool) -> Result<PathBuf> {
    build_with(&plugins()?, &PROGRAMS, release)
}

/// Builds while all servers start; without one of them there is nothing to prove.
pub fn beside_servers(build: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    let starting = std::thread::spawn(|| backends::start(&backends::chosen(&[])?));
    let built = build();
    let outcomes = starting.join().map_err(|_| anyhow::anyhow!("starting the servers panicked"))??;
    if outcomes.iter().any(|outcome| !outcome.runs()) {
        bail!("this needs the real servers; the one above says what it lacks");
    }
    built
}

/// Where built plugins are put.
pub fn folder(release: bool) -> PathBuf {
    target().join(if release { "release" } else { "debug" }).join("plugins")
}

/// Copies the libraries of these plugins that are new or changed; gives their number.
pub fn install(plugins: &[Plugin], built: &[Artifact], folder: &Path) -> Result<usize> {
    std::fs::create_dir_all(folder)?;
    let mut copied = 0;
    for plugin in plugins {
        let Some(library) = library(plugin, built) else { continue };
        copied += usize::from(copy(library, folder)?);
    }
    Ok(copied)
}

/// The shared library of a plugin among what was built.
pub fn library<'a>(plugin: &Plugin, built: &'a [Artifact]) -> Option<&'a PathBuf> {
    built.iter().filter(|artifact| artifact.package == plugin.package).find_map(Artifact::shared_library)
}

/// In one step: a host that looks into the folder sees the old library or the new one, never half of it.
fn copy(library: &Path, folder: &Path) -> Result<bool> {
    let name = library.file_name().context("a library without a name")?.to_string_lossy().into_owned();
    let goal = folder.join(&name);
    let bytes = std::fs::read(library).with_context(|| format!("cannot read {}", library.display()))?;
    if std::fs::read(&goal).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    let fresh = folder.join(format!(".{name}.{}", std::process::id()));
    std::fs::write(&fresh, bytes).with_context(|| format!("cannot write {}", fresh.display()))?;
    std::fs::rename(&fresh, &goal)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_names_its_plugins() {
        let all = plugins().unwrap();
        assert!(all.iter().any(|plugin| plugin.name == "echo" && plugin.example), "{all:?}");
        let error = chosen(&["oracle".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no plugin `oracle`") && error.contains("echo"), "{error}");
    }

    #[test]
    fn a_library_is_copied_only_when_it_changed() {
        let folder = std::env::temp_dir().join(format!("xtask-build-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("plugins")).unwrap();
        let (library, goal) = (folder.join("libx.so"), folder.join("plugins"));
        std::fs::write(&library, "one").unwrap();
        assert!(copy(&library, &goal).unwrap());
        assert!(!copy(&library, &goal).unwrap());
        std::fs::write(&library, "two").unwrap();
        assert!(copy(&library, &goal).unwrap());
        assert_eq!(std::fs::read(goal.join("libx.so")).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(&goal).unwrap().count(), 1, "nothing temporary is left");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
