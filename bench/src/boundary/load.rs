//! How long seven plugins take from their files to their tables.

use super::{ROUNDS, plugins_dir};
use crate::stats::median;
use anyhow::{Context, Result, ensure};
use chassis_loader::LoadOptions;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

const PLUGINS: [&str; 7] =
    ["postgres", "mongodb", "redis", "rabbitmq", "elasticsearch", "http_api", "embedded"];

/// Milliseconds, median of several processes: a library is opened once in each.
pub fn measure() -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let output = Command::new(std::env::current_exe()?).arg("load").output()?;
        ensure!(output.status.success(), "loading failed: {}", String::from_utf8_lossy(&output.stderr));
        times.push(String::from_utf8(output.stdout)?.trim().parse()?);
    }
    Ok(median(&times))
}

/// The child's own work: loads side by side, as the host does, and prints how long it took.
pub fn child() -> Result<()> {
    let folder = plugins_dir()?;
    let generations = tempfile::tempdir()?;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let loads: Vec<_> = PLUGINS
            .iter()
            .map(|name| {
                let path = folder.join(format!("libchassis_{name}{}", std::env::consts::DLL_SUFFIX));
                let generations = generations.path();
                scope.spawn(move || load(path, generations))
            })
            .collect();
        loads.into_iter().try_for_each(|load| load.join().ok().context("a load panicked")?)
    })?;
    println!("{}", begun.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn load(path: PathBuf, generations: &std::path::Path) -> Result<()> {
    let known_contracts = chassis::registry::CONTRACTS.iter().map(|name| (*name).to_owned()).collect();
    let options = LoadOptions { generations_dir: generations.to_owned(), known_contracts };
    chassis_loader::load(&chassis_loader::inspect(&path)?, &options)?;
    Ok(())
}
