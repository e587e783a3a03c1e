//! What we started, written down: ports, processes, folders. One JSON file per checkout, under a lock, so that
//! two commands at once do not start two servers.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::run::Process;
use crate::ui::say;

/// The state file's content.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The temporary folder that holds every server's data.
    pub data: Option<PathBuf>,
    pub servers: BTreeMap<String, Server>,
}

/// One server that we started, now or earlier: a stopped one keeps its entry, and with it port and data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// The port that clients use first, then those that the server needs for itself.
    pub ports: Vec<u16>,
    /// In the order of their start: the server itself is the last.
    pub processes: Vec<Process>,
    /// Address with user and password.
    pub url: String,
    pub log: PathBuf,
}

impl Server {
    /// The server's own process, if it runs.
    pub fn alive(&self) -> Option<&Process> {
        self.processes.last().filter(|process| process.alive())
    }

    pub fn port(&self) -> u16 {
        self.ports.first().copied().unwrap_or_default()
    }
}

impl State {
    /// Reads the file; no file is the empty state.
    pub fn read(folder: &Path) -> Result<State> {
        let file = folder.join("state.json");
        match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is damaged; stop the servers it names by hand, then delete it", file.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Writes the file in one step: a reader sees the old one or the new one.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let fresh = folder.join("state.json.new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&fresh, folder.join("state.json"))?;
        Ok(())
    }

    /// Decides the ports of a server: those it had, else the usual ones, else whatever is free.
    pub fn settle_ports(&mut self, name: &str, usual: &[u16]) -> Result<()> {
        let mut taken: Vec<u16> = self
            .servers
            .iter()
            .filter(|(other, _)| *other != name)
            .flat_map(|(_, s)| s.ports.clone())
            .collect();
        let server = self.servers.entry(name.to_owned()).or_default();
        let wanted = if server.ports.len() == usual.len() { server.ports.clone() } else { usual.to_vec() };
        server.ports.clear();
        for port in wanted {
            let free = if !taken.contains(&port) && is_free(port) { port } else { any_free(&taken)? };
            if free != port {
                say(name, &format!("port {port} is taken by something else; using {free}"));
            }
            taken.push(free);
            server.ports.push(free);
        }
        Ok(())
    }
}

/// Held while servers are started or stopped; other commands wait for it.
pub struct Lock {
    _file: File,
}

impl Lock {
    pub fn take(folder: &Path) -> Result<Lock> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        if file.try_lock().is_err() {
            say("backends", "waiting for another command that starts or stops them");
            file.lock()?;
        }
        Ok(Lock { _file: file })
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn any_free(but: &[u16]) -> Result<u16> {
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?.local_addr()?.port();
        if !but.contains(&port) {
            return Ok(port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_survives_the_file() {
        let folder = std::env::temp_dir().join(format!("xtask-state-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(State::read(&folder).unwrap(), State::default());
        let mut state = State { data: Some("/data".into()), ..State::default() };
        let process = Process::of(std::process::id() as i32).unwrap();
        state.servers.insert(
            "redis".into(),
            Server { ports: vec![1, 2], processes: vec![process], url: "redis://x".into(), log: "l".into() },
        );
        state.write(&folder).unwrap();
        assert_eq!(State::read(&folder).unwrap(), state);
        std::fs::write(folder.join("state.json"), "{").unwrap();
        assert!(State::read(&folder).unwrap_err().to_string().contains("is damaged"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_taken_port_is_replaced_and_remembered() {
        let stranger = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let taken = stranger.local_addr().unwrap().port();
        let mut state = State::default();
        state.settle_ports("redis", &[taken]).unwrap();
        let chosen = state.servers["redis"].port();
        assert_ne!(chosen, taken);
        drop(stranger);
        state.settle_ports("redis", &[taken]).unwrap();
        assert_eq!(state.servers["redis"].port(), chosen, "a server keeps its port");
        state.settle_ports("other", &[chosen]).unwrap();
        assert_ne!(state.servers["other"].port(), chosen, "two servers never share one");
    }
}
