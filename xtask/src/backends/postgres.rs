//! PostgreSQL, from Debian or PATH. It refuses to run as root, so root runs it as a system user.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::backend::{Backend, Site};
use crate::place::on_path;
use crate::run::{Process, detached, logged};

const USER: &str = "postgres";
const PASSWORD: &str = "password";
const DATABASE: &str = "microservices_db";

pub struct Postgres;

impl Backend for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn variable(&self) -> &'static str {
        "CHASSIS_POSTGRES_URL"
    }

    fn usual_ports(&self) -> &'static [u16] {
        &[15432]
    }

    fn missing_packages(&self) -> Vec<&'static str> {
        if programs().is_some() { vec![] } else { vec!["postgresql"] }
    }

    fn prepare(&self, site: &Site) -> Result<()> {
        if site.folder.join("data/PG_VERSION").exists() {
            return Ok(());
        }
        if let Some(owner) = owner()? {
            chown(&site.folder, Some(owner.0), Some(owner.1))?;
        }
        let secret = site.folder.join("password");
        std::fs::write(&secret, PASSWORD)?;
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o644))?;
        let mut command = as_owner(detached(program("initdb")?, &site.folder, &site.log)?)?;
        command.args(["-D", "data", "-U", USER, "--auth=scram-sha-256", "--pwfile=password"]);
        command.args(["--encoding=UTF8", "--locale=C", "--no-sync"]);
        logged(self.name(), "making an empty database", &mut command, &site.log)
    }

    fn launch(&self, site: &Site, spawn: &mut dyn FnMut(Command) -> Result<()>) -> Result<()> {
        // A killed server leaves its pid file, and where nothing reaps orphans its pid still counts as taken.
        let pid_file = site.folder.join("data/postmaster.pid");
        let owner = std::fs::read_to_string(&pid_file).unwrap_or_default();
        if owner.lines().next().and_then(|pid| Process::of(pid.parse().ok()?)).is_none() {
            let _ = std::fs::remove_file(pid_file);
        }
        let mut command = as_owner(detached(program("postgres")?, &site.folder, &site.log)?)?;
        command.args(["-D", "data", "-p", &site.port().to_string(), "-k", ""]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=64MB"]);
        command.args(["-c", "max_connections=200"]);
        spawn(command)
    }

    fn ready(&self, site: &Site) -> bool {
        let Ok(mut command) = program("pg_isready").map(Command::new) else { return false };
        command.args(["-q", "-h", "127.0.0.1", "-p", &site.port().to_string()]);
        command.status().is_ok_and(|status| status.success())
    }

    fn furnish(&self, site: &Site) -> Result<()> {
        let port = site.port().to_string();
        let psql = |database: &str, sql: &str| -> Result<String> {
            let mut command = Command::new(program("psql")?);
            command.env("PGPASSWORD", PASSWORD).args(["-h", "127.0.0.1", "-p", &port, "-U", USER]);
            let output = command.args(["-d", database, "-XAtc", sql]).output().context("cannot run psql")?;
            ensure!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr).trim());
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let known = psql("postgres", &format!("SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"))?;
        if known.is_empty() {
            psql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        }
        Ok(())
    }

    fn url(&self, port: u16) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}")
    }

    fn stop_signal(&self) -> Signal {
        // SIGTERM would wait until the last client has gone.
        Signal::INT
    }
}

/// The folder of the server's programs: Debian keeps them per version, off PATH.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().map(|(_, bin)| bin).or_else(|| Some(on_path("initdb")?.parent()?.to_path_buf()))
}

fn program(name: &str) -> Result<PathBuf> {
    Ok(programs().context("PostgreSQL is not installed")?.join(name))
}

fn as_owner(mut command: Command) -> Result<Command> {
    if let Some((user, group)) = owner()? {
        command.uid(user).gid(group);
    }
    Ok(command)
}

/// The user and group that the server runs as; `None` is ourselves.
fn owner() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    // Debian's package brings the user `postgres`; elsewhere root gets one made.
    for name in ["postgres", "chassis-postgres"] {
        if let Some(found) = user(name)? {
            return Ok(Some(found));
        }
    }
    let made = Command::new("useradd").args(["--system", "chassis-postgres"]).status();
    ensure!(
        made.is_ok_and(|status| status.success()),
        "PostgreSQL refuses root and useradd failed; create a system user `postgres`"
    );
    user("chassis-postgres")
}

fn user(name: &str) -> Result<Option<(u32, u32)>> {
    let users = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    Ok(users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.len() > 3 && fields[0] == name).then_some(())?;
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    }))
}
