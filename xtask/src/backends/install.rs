//! Getting what a server needs: Debian packages, and what is built once into the cache.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::place::{cache, on_path};
use crate::run::logged;
use crate::ui::say;

/// A server that can't be had here, and why. Not an error of ours: what depends on it is skipped.
#[derive(Debug)]
pub struct Skipped(pub String);

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// Installs Debian packages where that is possible, as root with apt-get. What could not be installed shows
/// when its server is started.
pub fn packages(names: &[&str], log: &Path) {
    if names.is_empty() || !rustix::process::geteuid().is_root() || on_path("apt-get").is_none() {
        return;
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        // Packages start their servers on the usual ports unless the machine is in single-user mode.
        command.env("RUNLEVEL", "1");
        command
    };
    let install = || apt(&[&["install", "-y", "--no-install-recommends"], names].concat());
    let what = format!("installing {}", names.join(" "));
    // A machine without package lists knows no package; one with old lists asks for files that are gone.
    let done = logged("apt-get", "updating the package lists", &mut apt(&["update"]), log)
        .and_then(|()| logged("apt-get", &what, &mut install(), log));
    if let Err(error) = done {
        say("apt-get", &format!("{error:#}"));
    }
}

/// Why a server's packages are missing, as the reason to skip it.
pub fn missing(packages: &[&str]) -> Skipped {
    let names = packages.join(" ");
    Skipped(format!("not installed here; `sudo apt-get install {names}` (or your system's way), then again"))
}

/// A folder of the cache that is made once: `make` fills it, and only then does it count.
pub fn cached(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = cache()?.join(name);
    let cache = folder.parent().context("the cache folder has no parent")?;
    std::fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let lock =
        File::options().create(true).truncate(false).write(true).open(cache.join(format!("{name}.lock")))?;
    lock.lock()?;
    if !is_cached(&folder) {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        make(&folder)?;
        std::fs::write(folder.join("complete"), "")?;
    }
    Ok(folder)
}

/// Whether this folder of the cache was made to its end.
pub fn is_cached(folder: &Path) -> bool {
    folder.join("complete").exists()
}
