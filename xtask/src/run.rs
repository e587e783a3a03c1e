//! Running other programs, and knowing a process again.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::place::on_path;
use crate::ui::{say, took};

/// A process that we started. A pid alone is not enough: it may have passed on to a stranger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    pub started: String,
}

impl Process {
    /// The process of this pid as it is now; `None` if there is none.
    pub fn of(pid: i32) -> Option<Process> {
        Some(Process { pid, started: start_time(pid)? })
    }

    /// Whether this very process still runs.
    pub fn alive(&self) -> bool {
        start_time(self.pid).is_some_and(|now| now == self.started)
    }

    /// Sends a signal, only if this very process still runs.
    pub fn signal(&self, signal: Signal) {
        if let (true, Some(pid)) = (self.alive(), Pid::from_raw(self.pid)) {
            // It may end between the check and the signal, which is what was wanted.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until it has ended; false if it has not by then.
    pub fn ended_within(&self, limit: Duration) -> bool {
        let begin = Instant::now();
        while self.alive() {
            if begin.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// A command for a server that outlives us: a session of its own, nothing on its input, a small environment
/// that does not depend on who starts it.
pub fn detached(program: impl AsRef<Path>, folder: &Path, log: &Path) -> Result<Command> {
    let mut command = match on_path("setsid") {
        Some(setsid) => {
            let mut command = Command::new(setsid);
            command.arg(program.as_ref());
            command
        }
        None => {
            use std::os::unix::process::CommandExt;
            let mut command = Command::new(program.as_ref());
            command.process_group(0);
            command
        }
    };
    let output = File::options().create(true).append(true).open(log);
    let output = output.with_context(|| format!("cannot write {}", log.display()))?;
    command.env_clear().env("HOME", folder).env("LANG", "C.UTF-8").current_dir(folder);
    for name in ["PATH", "JAVA_HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    Ok(command)
}

/// Runs something that may take a while: output into a log, a sign of life every ten seconds, and the end of
/// the log in the error.
pub fn logged(who: &str, what: &str, command: &mut Command, log: &Path) -> Result<()> {
    let begin = Instant::now();
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let output = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    say(who, what);
    let program = command.get_program().to_owned();
    let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let mut next = Duration::from_secs(10);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begin.elapsed() > next {
            say(who, &format!("{what}: {} so far", took(begin.elapsed())));
            next += Duration::from_secs(10);
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    if !status.success() {
        bail!("{what}: {} ended with {status}\n{}", program.display(), tail(log, 12));
    }
    say(who, &format!("{what}: done in {}", took(begin.elapsed())));
    Ok(())
}

/// The last lines of a file, for an error message.
pub fn tail(file: &Path, lines: usize) -> String {
    let bytes = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let shown = all[all.len().saturating_sub(lines)..].join("\n    ");
    format!("    {shown}\n    (all of it: {})", file.display())
}

/// When a process started, in the system's own words; `None` for one that is gone or only waits to be reaped.
fn start_time(pid: i32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in brackets and may contain anything.
        let after = stat.rsplit_once(')')?.1;
        let mut fields = after.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?;
        return (state != "Z" && state != "X").then(|| started.to_owned());
    }
    let output = Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (state, started) = line.split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_pid_and_start() {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let process = Process::of(child.id() as i32).unwrap();
        assert!(process.alive());
        let stranger = Process { started: "1".into(), ..process.clone() };
        assert!(!stranger.alive());
        stranger.signal(Signal::KILL);
        assert!(process.alive(), "a stranger's pid was signalled");
        process.signal(Signal::KILL);
        assert!(process.ended_within(Duration::from_secs(5)), "a zombie counts as ended");
        child.wait().unwrap();
        assert_eq!(Process::of(process.pid), None);
    }

    #[test]
    fn a_failed_command_shows_the_end_of_its_log() {
        let log = std::env::temp_dir().join(format!("xtask-run-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo what went wrong; exit 3"]);
        let error = logged("test", "trying", &mut command, &log).unwrap_err().to_string();
        std::fs::remove_file(&log).unwrap();
        assert!(error.contains("what went wrong") && error.contains('3'), "{error}");
    }
}
