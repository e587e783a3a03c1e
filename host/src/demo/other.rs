//! A host that is a process of its own, over the same backends: it can be killed, and the demo goes on.

use super::act::Act;
use crate::cli::Remote;
use crate::config::Source;
use crate::journal::Place;
use hyper::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long it may take to be ready, or to end what it was asked for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What it is started from.
#[derive(Clone, Debug)]
pub struct Other {
    /// The program.
    pub binary: PathBuf,
    /// The configuration.
    pub source: Source,
    /// The folder of backends that live in files; its journal is there too, of its own.
    pub data: PathBuf,
}

/// One that runs.
pub struct Running {
    child: Child,
    remote: Remote,
}

impl Other {
    /// Starts it, with faults allowed and the edge on a port that is free. Returns when it is ready.
    pub async fn start(&self, act: &Act<'_>) -> Result<Running, String> {
        let (journal, log) = (self.data.join("other.db"), self.data.join("other.log"));
        let unmade = |error: std::io::Error| format!("{}: {error}", log.display());
        std::fs::create_dir_all(&self.data).map_err(unmade)?;
        let file = std::fs::File::create(&log).map_err(unmade)?;
        let mut command = Command::new(&self.binary);
        match &self.source {
            Source::Profile(name) => command.arg("--profile").arg(name),
            Source::File(file) => command.arg("--config").arg(file),
        };
        command
            .arg("run")
            .env("CHASSIS_DATA", &self.data)
            .env("CHASSIS__EDGE__LISTEN", "127.0.0.1:0")
            .env("CHASSIS__JOURNAL__URL", format!("sqlite:{}", journal.display()))
            .env("CHASSIS__FAULT_INJECTION__ENABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true);
        let mut child =
            command.spawn().map_err(|error| format!("cannot run {}: {error}", self.binary.display()))?;
        let place = Place::Sqlite(journal);
        let pid = child.id();
        let serving = act.wait_for(PATIENCE, "the other host to be ready", async || {
            // The journal's lock says where its holder serves.
            let holder = place.holder().filter(|holder| Some(holder.pid) == pid);
            let Some(address) = holder.and_then(|holder| holder.address) else { return Ok(None) };
            let remote = Remote::at(&address);
            let ready = remote.ask(Method::GET, "/health/ready", None).await;
            Ok(ready.is_ok_and(|answer| answer.ok).then_some(remote))
        });
        // One that cannot start is not waited for.
        let remote = tokio::select! {
            remote = serving => remote,
            _ = child.wait() => Err("it ended at once".to_owned()),
        };
        match remote {
            Ok(remote) => Ok(Running { child, remote }),
            Err(reason) => {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                Err(format!("{reason}; {}", said.lines().last().unwrap_or("it said nothing")))
            }
        }
    }
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Ends it with SIGKILL, in the middle of whatever it does.
    pub async fn kill(mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|error| format!("cannot kill it: {error}"))
    }

    /// A request that it must grant.
    pub async fn get(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let answer = self.remote.get(method, path, body).await;
        answer.map_err(|exit| exit.text().to_owned())
    }

    /// A request, whatever it says: whether it succeeded, and the body.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<(bool, Value), String> {
        let answer = self.remote.ask(method, path, Some(body)).await;
        answer.map(|answer| (answer.ok, answer.body)).map_err(|exit| exit.text().to_owned())
    }

    /// Puts a fault in force.
    pub async fn fault(&self, fault: &Value) -> Result<(), String> {
        self.get(Method::POST, "/v1/faults", Some(fault)).await.map(drop)
    }

    /// Waits until the fault of this name has hit a call.
    pub async fn hit(&self, act: &Act<'_>, name: &str) -> Result<(), String> {
        act.wait_for(PATIENCE, &format!("the fault `{name}` to be met"), async || {
            let shown = self.get(Method::GET, "/v1/faults", None).await?;
            let faults = shown["faults"].as_array().cloned().unwrap_or_default();
            let met = |fault: &Value| fault["name"] == name && fault["hits"] != json!(0);
            Ok(faults.iter().any(met).then_some(()))
        })
        .await
    }
}
