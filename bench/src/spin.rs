//! One side of one benchmark again and again, to be looked at with a profiler: `chassis-bench spin WHAT [SECONDS]`.

use crate::boundary::{echo, load_plugin, plugins_dir, redis};
use crate::flows;
use crate::sink::Sink;
use anyhow::{Result, bail};
use std::time::Duration;

/// What can be looked at.
const NAMES: &str = "echo, get, get-raw, host, host-traced, driver, flow, calls, drivers";

/// Runs it, and prints how many a second there were.
pub fn run(arguments: &[String]) -> Result<()> {
    let what = arguments.first().map_or("", String::as_str);
    let seconds = arguments.get(1).map_or(Ok(10), |text| text.parse())?;
    let slice = Duration::from_secs(seconds);
    let sink = Sink::start()?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let rate = match what {
            "echo" => {
                let folder = tempfile::tempdir()?;
                let plugin = load_plugin(&plugins_dir()?, "echo", folder.path())?;
                echo::spin(&plugin, slice).await?
            }
            "get" | "get-raw" | "host" | "host-traced" | "driver" => {
                redis::spin(what, slice, &plugins_dir()?, &sink.endpoint).await?
            }
            "flow" | "calls" | "drivers" => flows::spin(what, slice).await?,
            _ => bail!("say what: {NAMES}"),
        };
        println!("{what}: {rate:.0}/s");
        Ok(())
    })
}
