//! How one backend is really stopped, and started again.

use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::Command;

/// Variable with the shell command that stops a backend; `{backend}` stands for its instance.
pub const STOP: &str = "CHASSIS_DEMO_STOP";
/// Variable with the shell command that starts it.
pub const START: &str = "CHASSIS_DEMO_START";

/// A way to take a backend away and to bring it back.
#[derive(Clone, Debug)]
pub enum Outage {
    /// By shell commands.
    Commands {
        /// Stops it.
        stop: String,
        /// Starts it.
        start: String,
    },
    /// By moving the file it lives in.
    File(PathBuf),
    /// There is none, and why.
    None(String),
}

impl Outage {
    /// By the commands of the environment, where they are set; else by the backend's file.
    pub fn of(instance: &str, file: Option<PathBuf>) -> Self {
        let command = |name: &str| {
            let command = std::env::var(name).ok().filter(|command| !command.is_empty())?;
            Some(command.replace("{backend}", instance))
        };
        match (command(STOP), command(START), file) {
            (Some(stop), Some(start), _) => Self::Commands { stop, start },
            (_, _, Some(file)) => Self::File(file),
            _ => Self::None(format!(
                "nothing is known that stops `{instance}`: set {STOP} and {START} to shell commands with {{backend}} in them"
            )),
        }
    }

    /// Takes it away. Answers what was done.
    pub async fn begin(&self) -> Result<String, String> {
        match self {
            Self::Commands { stop, .. } => shell(stop).await,
            Self::File(path) => {
                tokio::fs::rename(path, aside(path)).await.map_err(|error| told(path, &error))?;
                Ok(format!("moved {} away", path.display()))
            }
            Self::None(reason) => Err(reason.clone()),
        }
    }

    /// Brings it back. Does no harm where it is there.
    pub async fn end(&self) -> Result<String, String> {
        match self {
            Self::Commands { start, .. } => shell(start).await,
            Self::File(path) if aside(path).exists() => {
                tokio::fs::rename(aside(path), path).await.map_err(|error| told(path, &error))?;
                Ok(format!("moved {} back", path.display()))
            }
            Self::File(path) => Ok(format!("{} is there", path.display())),
            Self::None(reason) => Err(reason.clone()),
        }
    }
}

fn aside(path: &std::path::Path) -> PathBuf {
    path.with_extension("away")
}

fn told(path: &std::path::Path, error: &std::io::Error) -> String {
    format!("{} cannot be moved: {error}", path.display())
}

async fn shell(command: &str) -> Result<String, String> {
    let output = Command::new("sh").arg("-c").arg(command).stdin(Stdio::null()).output().await;
    let output = output.map_err(|error| format!("`{command}` cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(format!("ran `{command}`"));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(format!("`{command}` failed ({}): {last}", output.status))
}
