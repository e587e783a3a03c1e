//! Starting servers, side by side.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::backend::{Backend, Site};
use super::install::{self, Skipped};
use super::report::{Outcome, Standing};
use super::state::{Lock, State};
use super::stop;
use crate::place;
use crate::run::{Process, tail};
use crate::ui::{say, took};

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts what does not run yet and waits until each answers.
pub fn start(backends: &[&'static dyn Backend]) -> Result<Vec<Outcome>> {
    start_in(&place::backends(), backends)
}

/// The same, with the state in this folder.
pub fn start_in(folder: &Path, backends: &[&'static dyn Backend]) -> Result<Vec<Outcome>> {
    let _lock = Lock::take(folder)?;
    let mut state = State::read(folder)?;
    let data = data_folder(&mut state)?;
    let mut packages = Vec::new();
    for backend in backends {
        if state.servers.get(backend.name()).is_none_or(|server| server.alive().is_none()) {
            // Of a server that was killed a helper may be left, which holds a port.
            if let Some(server) = state.servers.get_mut(backend.name()) {
                stop::end_processes(backend.name(), server, Signal::TERM);
            }
            state.settle_ports(backend.name(), backend.usual_ports())?;
            packages.extend(backend.missing_packages());
        }
    }
    state.write(folder)?;
    install::packages(&packages, &folder.join("apt.log"));

    let book = Book { folder: folder.to_path_buf(), state: Mutex::new(state) };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            backends.iter().map(|backend| scope.spawn(|| outcome(*backend, &data, &book))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a start panicked")))
            .collect()
    })
}

/// The state while several threads write to it.
struct Book {
    folder: PathBuf,
    state: Mutex<State>,
}

impl Book {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Written down at once: a server that nobody knows of could never be stopped.
    fn change(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        let mut state = self.state();
        change(&mut state);
        state.write(&self.folder)
    }
}

fn outcome(backend: &dyn Backend, data: &Path, book: &Book) -> Outcome {
    let begin = Instant::now();
    let standing = match bring_up(backend, data, book) {
        Ok(standing) => standing,
        Err(error) if error.is::<Skipped>() => Standing::Skipped(format!("{error:#}")),
        Err(error) => Standing::Failed(format!("{error:#}")),
    };
    let port = book.state().servers.get(backend.name()).map(|server| server.port()).unwrap_or_default();
    let text = match &standing {
        Standing::Started => format!("runs on 127.0.0.1:{port} after {}", took(begin.elapsed())),
        Standing::RanAlready => format!("already running on 127.0.0.1:{port}"),
        Standing::Skipped(why) => format!("skipped: {why}"),
        Standing::Failed(why) => format!("failed: {why}"),
    };
    say(backend.name(), &text);
    Outcome { name: backend.name(), standing, ms: begin.elapsed().as_millis() }
}

fn bring_up(backend: &dyn Backend, data: &Path, book: &Book) -> Result<Standing> {
    let name = backend.name();
    let server = book.state().servers.get(name).cloned().unwrap_or_default();
    let folder = data.join(name);
    let site = Site { log: folder.join("server.log"), ports: server.ports.clone(), folder };
    if let Some(process) = server.alive() {
        wait(backend, &site, process)?;
        return Ok(Standing::RanAlready);
    }
    let missing = backend.missing_packages();
    ensure!(missing.is_empty(), install::missing(&missing));

    std::fs::create_dir_all(&site.folder)?;
    backend.prepare(&site)?;
    say(name, "starting");
    book.change(|state| {
        let server = state.servers.entry(name.to_owned()).or_default();
        server.processes.clear();
        server.url = backend.url(site.port());
        server.log = site.log.clone();
    })?;
    let mut last = None;
    backend.launch(&site, &mut |mut command: Command| {
        let program = command.get_program().to_owned();
        let child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        // Gone already is told by `wait`, with its log.
        let process = Process::of(child.id() as i32)
            .unwrap_or(Process { pid: child.id() as i32, started: "ended at once".to_owned() });
        last = Some(process.clone());
        book.change(|state| state.servers.entry(name.to_owned()).or_default().processes.push(process))
    })?;
    wait(backend, &site, &last.context("nothing was started")?)?;
    backend.furnish(&site)?;
    Ok(Standing::Started)
}

fn wait(backend: &dyn Backend, site: &Site, process: &Process) -> Result<()> {
    let begin = Instant::now();
    let mut next = Duration::from_secs(10);
    while !backend.ready(site) {
        if !process.alive() {
            bail!("it ended while starting\n{}", tail(&site.log, 12));
        }
        if begin.elapsed() > PATIENCE {
            let name = backend.name();
            let log = tail(&site.log, 12);
            bail!(
                "no answer in {}; try `cargo xtask backends stop {name}`, then start\n{log}",
                took(PATIENCE)
            );
        }
        if begin.elapsed() > next {
            say(backend.name(), &format!("waiting for its answer: {} so far", took(begin.elapsed())));
            next += Duration::from_secs(10);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The temporary folder of this checkout's servers; other users (PostgreSQL's) must be able to pass through.
fn data_folder(state: &mut State) -> Result<PathBuf> {
    if let Some(folder) = state.data.as_ref().filter(|folder| folder.is_dir()) {
        return Ok(folder.clone());
    }
    for attempt in 0.. {
        let folder = std::env::temp_dir().join(format!("chassis-backends-{}-{attempt}", std::process::id()));
        match std::fs::create_dir(&folder) {
            Ok(()) => {
                std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755))?;
                state.data = Some(folder.clone());
                return Ok(folder);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error).with_context(|| format!("cannot create {}", folder.display())),
        }
    }
    bail!("no temporary folder could be made")
}
