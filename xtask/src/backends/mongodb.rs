//! A server of MongoDB's wire protocol: SecantusDB from PyPI, a stand-in on WiredTiger, in an environment of its
//! own in the cache. mongod itself is in no package registry.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::backend::{Backend, Site};
use super::install::{Skipped, cached, is_cached};
use super::probe::answers;
use crate::place::{cache, on_path};
use crate::run::{detached, logged};

const VERSION: &str = "0.7.0b3";
const DATABASE: &str = "microservices_mongo";

pub struct MongoDb;

impl Backend for MongoDb {
    fn name(&self) -> &'static str {
        "mongodb"
    }

    fn variable(&self) -> &'static str {
        "CHASSIS_MONGODB_URL"
    }

    fn usual_ports(&self) -> &'static [u16] {
        &[17017]
    }

    fn missing_packages(&self) -> Vec<&'static str> {
        let made = cache().is_ok_and(|cache| is_cached(&cache.join(folder())));
        let can_make = || {
            let Some(python) = on_path("python3") else { return false };
            let check = Command::new(python).args(["-c", "import ensurepip, venv"]).output();
            check.is_ok_and(|output| output.status.success())
        };
        if made || can_make() { vec![] } else { vec!["python3-venv"] }
    }

    fn prepare(&self, _site: &Site) -> Result<()> {
        server().map(drop)
    }

    fn launch(&self, site: &Site, spawn: &mut dyn FnMut(Command) -> Result<()>) -> Result<()> {
        let mut command = detached(server()?, &site.folder, &site.log)?;
        command.args(["--standalone", "--host", "127.0.0.1", "--port", &site.port().to_string()]);
        command.args(["--storage-path", "data", "--cache-size", "256M", "--log-level", "WARNING"]);
        spawn(command)
    }

    fn ready(&self, site: &Site) -> bool {
        // An OP_MSG of 52 bytes with {hello: 1, $db: "admin"}; the answer is an OP_MSG, too (2013).
        const HELLO: &[u8] = b"\x34\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\
            \x1f\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";
        answers(site.port(), HELLO, |answer| answer.get(12..16) == Some(&[0xdd, 0x07, 0, 0]))
    }

    fn url(&self, port: u16) -> String {
        format!("mongodb://127.0.0.1:{port}/{DATABASE}")
    }
}

/// The server's program, after making the environment that holds it.
fn server() -> Result<PathBuf> {
    Ok(cached(&folder(), make)?.join("bin/secantusd-py"))
}

fn folder() -> String {
    format!("secantusdb-{VERSION}")
}

fn make(folder: &Path) -> Result<()> {
    let python = on_path("python3").context("python3 is not on PATH")?;
    let log = folder.join("make.log");
    let pip = folder.join("bin/pip");
    let package = format!("SecantusDB=={VERSION}");
    logged(
        "mongodb",
        "making a Python environment",
        Command::new(python).args(["-m", "venv"]).arg(folder),
        &log,
    )
    .and_then(|()| {
        let mut install = Command::new(pip);
        logged("mongodb", &format!("installing {package}"), install.args(["install", &package]), &log)
    })
    .map_err(|error| Skipped(format!("{error:#}")).into())
}
