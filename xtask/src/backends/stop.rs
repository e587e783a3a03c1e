//! Stopping servers: only processes that we started, known by pid and start time.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process_group};

use super::backend::Backend;
use super::state::{Lock, Server, State};
use super::{ALL, place};
use crate::ui::{say, took};

/// How long a server may take to end in good order.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stops these servers; each keeps its port and its data.
pub fn stop(backends: &[&'static dyn Backend]) -> Result<()> {
    stop_in(&place::backends(), backends)
}

/// Stops every server and deletes their data.
pub fn stop_all() -> Result<()> {
    stop_all_in(&place::backends())
}

/// [`stop`] with the state in this folder.
pub fn stop_in(folder: &Path, backends: &[&'static dyn Backend]) -> Result<()> {
    let _lock = Lock::take(folder)?;
    let mut state = State::read(folder)?;
    end(backends, &mut state);
    state.write(folder)
}

/// [`stop_all`] with the state in this folder.
pub fn stop_all_in(folder: &Path) -> Result<()> {
    let _lock = Lock::take(folder)?;
    let mut state = State::read(folder)?;
    end(&ALL, &mut state);
    if let Some(data) = state.data.take().filter(|data| data.exists()) {
        std::fs::remove_dir_all(data)?;
    }
    State::default().write(folder)
}

fn end(backends: &[&'static dyn Backend], state: &mut State) {
    std::thread::scope(|scope| {
        for (name, server) in &mut state.servers {
            if let Some(backend) = backends.iter().find(|backend| backend.name() == name) {
                scope.spawn(|| end_one(*backend, server));
            }
        }
    });
}

fn end_one(backend: &dyn Backend, server: &mut Server) {
    let begin = Instant::now();
    let runs = server.alive().is_some();
    end_processes(backend.name(), server, backend.stop_signal());
    let text =
        if runs { format!("stopped in {}", took(begin.elapsed())) } else { "was not running".to_owned() };
    say(backend.name(), &text);
}

/// Ends what runs of a server's processes: the server by its signal, then what helped it.
pub fn end_processes(name: &str, server: &mut Server, signal: Signal) {
    for (place, process) in server.processes.drain(..).rev().enumerate() {
        process.signal(if place == 0 { signal } else { Signal::TERM });
        if process.ended_within(PATIENCE) {
            continue;
        }
        say(name, &format!("did not end within {}; killing it", took(PATIENCE)));
        if let (true, Some(group)) = (process.alive(), Pid::from_raw(process.pid)) {
            // Each was started as the leader of a group of its own.
            let _ = kill_process_group(group, Signal::KILL);
        }
        process.ended_within(PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::super::redis::Redis;
    use super::super::report::Standing;
    use super::super::start::start_in;
    use super::*;
    use crate::place::on_path;

    fn redis(port: u16, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        let output = command.args(["-p", &port.to_string()]).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    #[test]
    fn a_server_comes_back_with_port_and_data_and_strangers_are_left_alone() {
        if on_path("redis-server").is_none() || on_path("redis-cli").is_none() {
            println!("skipped: xtask backends: redis-server is not installed");
            return;
        }
        let folder = std::env::temp_dir().join(format!("xtask-stop-{}", std::process::id()));
        let only: [&'static dyn Backend; 1] = [&Redis];
        let start = || start_in(&folder, &only).unwrap().remove(0).standing;
        let server = || State::read(&folder).unwrap().servers["redis"].clone();

        assert_eq!(start(), Standing::Started);
        let first = server();
        assert_eq!(redis(first.port(), &["SET", "k", "v"]), "OK");
        assert_eq!(start(), Standing::RanAlready);
        assert_eq!(server().alive(), first.alive(), "a running server was started again");

        stop_in(&folder, &only).unwrap();
        assert!(first.alive().is_none() && !first.processes[0].alive());
        assert_eq!(start(), Standing::Started);
        assert_eq!(server().port(), first.port());
        assert_eq!(redis(first.port(), &["GET", "k"]), "v");

        let data = State::read(&folder).unwrap().data.unwrap();
        stop_all_in(&folder).unwrap();
        assert!(!data.exists());

        // The pid of ours may by now be a stranger's: here it is a process that we know nothing of.
        let mut stranger = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let mut state = State::default();
        let mut stale = first.clone();
        stale.processes[0].pid = stranger.id() as i32;
        state.servers.insert("redis".to_owned(), stale);
        state.write(&folder).unwrap();
        stop_all_in(&folder).unwrap();
        assert!(stranger.try_wait().unwrap().is_none(), "a process that we did not start was stopped");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
