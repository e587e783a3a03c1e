//! How much memory a host holds that has nothing to do: the profile `local`, six instances on six real servers.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Long enough for pools and first looks at health.
const SETTLE: Duration = Duration::from_secs(4);

/// Megabytes resident.
pub fn measure(plugins: &Path) -> Result<f64> {
    let binary = host_binary()?;
    let mut command = Command::new(&binary);
    command.args(["run", "--profile", "local"]).env("CHASSIS_PLUGINS_DIR", plugins);
    command.env("CHASSIS__EDGE__LISTEN", "127.0.0.1:0").stdout(Stdio::null()).stderr(Stdio::null());
    let mut host = Host(command.spawn().with_context(|| format!("{} does not start", binary.display()))?);
    std::thread::sleep(SETTLE);
    if let Some(status) = host.0.try_wait()? {
        bail!("the host ended: {status}");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.0.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1024.0)
}

fn host_binary() -> Result<PathBuf> {
    let name = format!("chassis{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() {
        Ok(path)
    } else {
        bail!("{} is not built: run `cargo xtask bench boundary`", path.display())
    }
}

struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        // It is gone already, or goes now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
