//! What the boundary, the policies and the telemetry cost, against the driver called directly.

pub mod direct;
pub mod echo;
mod edge;
mod idle;
pub mod load;
pub mod redis;

use crate::sink::Sink;
use crate::stats::rounded;
use anyhow::{Context, Result};
use chassis_loader::{HostServices, LoadOptions, Plugin};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::runtime::Handle;

/// At least five, as a median of fewer says little.
const ROUNDS: usize = 7;

/// Runs all of it.
pub fn run(json: bool) -> Result<()> {
    let say = |line: String| if json { eprintln!("{line}") } else { println!("{line}") };
    let folder = plugins_dir()?;
    let sink = Sink::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (echo, ratios, edge) = runtime.block_on(async {
        let generations = tempfile::tempdir()?;
        let echo = echo::measure(&load_plugin(&folder, "echo", generations.path())?).await?;
        say(format!("echo: the boundary adds {echo:.1} ns"));
        let redis = redis::measure(&folder, &sink.endpoint, &say).await?;
        let edge = edge::measure(&redis, &say).await?;
        let ratios = redis.ratios;
        redis.stop().await;
        anyhow::Ok((echo, ratios, edge))
    })?;
    let load = load::measure()?;
    say(format!("{:<34} {load:.1} ms", "7 plugins loaded"));
    let idle = idle::measure(&folder)?;
    say(format!("{:<34} {idle:.1} MB", "resident when idle"));
    let line = json!({
        "echo_added_ns": rounded(echo),
        "redis_get_c1": rounded(ratios.c1),
        "redis_get_c64": rounded(ratios.c64),
        "redis_get_c64_raw": rounded(ratios.c64_raw),
        "redis_get_c64_metrics_10pct_traces": rounded(ratios.c64_10pct),
        "redis_get_c64_100pct_traces": rounded(ratios.c64_100pct),
        "edge_get_c64": rounded(edge),
        "load_ms_7_plugins": rounded(load),
        "rss_mb_idle": rounded(idle),
    });
    if json {
        println!("{line}");
    }
    Ok(())
}

/// Where the built plugins are.
pub fn plugins_dir() -> Result<PathBuf> {
    let folder = std::env::var_os("CHASSIS_PLUGINS_DIR");
    folder.map(PathBuf::from).context("CHASSIS_PLUGINS_DIR is not set: run `cargo xtask bench boundary`")
}

pub fn load_plugin(folder: &Path, name: &str, generations: &Path) -> Result<Arc<Plugin>> {
    let file = format!("{}chassis_{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let example =
        format!("{}chassis_example_{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let path = [file, example].into_iter().map(|file| folder.join(file)).find(|path| path.exists());
    let path = path.with_context(|| format!("the plugin {name} is not in {}", folder.display()))?;
    let known_contracts = chassis::registry::CONTRACTS.iter().map(|name| (*name).to_owned()).collect();
    let options = LoadOptions { generations_dir: generations.to_owned(), known_contracts };
    Ok(chassis_loader::load(&chassis_loader::inspect(&path)?, &options)?)
}

/// A host that offers its runtime and nothing else.
struct Bare {
    runtime: Handle,
    level: AtomicU32,
}

impl Bare {
    fn here() -> Arc<Self> {
        Arc::new(Self { runtime: Handle::current(), level: AtomicU32::new(0) })
    }
}

impl HostServices for Bare {
    fn runtime(&self) -> &Handle {
        &self.runtime
    }

    fn log_level(&self) -> &AtomicU32 {
        &self.level
    }

    fn log(&self, _: chassis_loader::Level, _: &str, _: Option<serde_json::Value>) {}
}
