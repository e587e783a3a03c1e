//! A program of the stack as a process on ports of its own: started, waited for, ended when it is dropped.

use anyhow::{Context, Result, bail};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// A program that runs.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, and waits until the address `ready` answers with 2xx. Its log goes to a file in `folder`.
    pub async fn start(name: &'static str, mut command: Command, folder: &Path, ready: &str) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = std::fs::File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let mut process = Self { child, log };
        let begun = Instant::now();
        loop {
            if reqwest::get(ready).await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(process);
            }
            if let Some(status) = process.child.try_wait()? {
                bail!("{name} ended with {status}; its log ends:\n{}", process.log_tail());
            }
            if begun.elapsed() > READY {
                bail!("{name} was not ready at {ready}; its log ends:\n{}", process.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The end of its log.
    fn log_tail(&self) -> String {
        chassis_faults::host::tail(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
