//! Where things are: the checkout, cargo's target folder, the cache that outlives both.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The root of the checkout that this xtask was built from.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// Cargo's target folder: `CARGO_TARGET_DIR` if it is set, else `target` in the checkout.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => std::env::current_dir().unwrap_or_default().join(folder),
        None => root().join("target"),
    }
}

/// State of the servers. It belongs to the checkout, not to a target folder: whoever builds elsewhere
/// must still find the servers that run.
pub fn backends() -> PathBuf {
    root().join("target/backends")
}

/// Where what took minutes to get is kept: `CHASSIS_CACHE`, else `chassis` in the user's cache folder.
pub fn cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("CHASSIS_CACHE") {
        return Ok(folder.into());
    }
    if let Some(folder) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(Path::new(&folder).join("chassis"));
    }
    let home = std::env::var_os("HOME").context("neither CHASSIS_CACHE nor HOME is set; set one of them")?;
    Ok(Path::new(&home).join(".cache/chassis"))
}

/// The first of the programs on `PATH` with this name.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian keeps servers in sbin, which an ordinary user does not have on PATH.
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|file| file.is_file())
}
