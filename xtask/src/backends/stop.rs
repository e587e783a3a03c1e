//! Stopping servers: only processes that we started, known by pid and start time.

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
    let folder = place::backends();
    let _lock = Lock::take(&folder)?;
    let mut state = State::read(&folder)?;
    end(backends, &mut state);
    state.write(&folder)
}

/// Stops every server and deletes their data.
pub fn stop_all() -> Result<()> {
    let folder = place::backends();
    let _lock = Lock::take(&folder)?;
    let mut state = State::read(&folder)?;
    end(&ALL, &mut state);
    if let Some(data) = state.data.take().filter(|data| data.exists()) {
        std::fs::remove_dir_all(data)?;
    }
    State::default().write(&folder)
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
    for (place, process) in server.processes.drain(..).rev().enumerate() {
        // The server itself comes first; what helped it only after it has ended.
        process.signal(if place == 0 { backend.stop_signal() } else { Signal::TERM });
        if process.ended_within(PATIENCE) {
            continue;
        }
        say(backend.name(), &format!("did not end within {}; killing it", took(PATIENCE)));
        if let (true, Some(group)) = (process.alive(), Pid::from_raw(process.pid)) {
            // Each was started as the leader of a group of its own.
            let _ = kill_process_group(group, Signal::KILL);
        }
        process.ended_within(PATIENCE);
    }
    let text =
        if runs { format!("stopped in {}", took(begin.elapsed())) } else { "was not running".to_owned() };
    say(backend.name(), &text);
}
