//! Redis, from Debian or PATH.

use std::process::Command;

use anyhow::{Context, Result};

use super::backend::{Backend, Site};
use super::probe::answers;
use crate::place::on_path;
use crate::run::detached;

pub struct Redis;

impl Backend for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn variable(&self) -> &'static str {
        "CHASSIS_REDIS_URL"
    }

    fn usual_ports(&self) -> &'static [u16] {
        &[16379]
    }

    fn missing_packages(&self) -> Vec<&'static str> {
        if on_path("redis-server").is_some() { vec![] } else { vec!["redis-server"] }
    }

    fn launch(&self, site: &Site, spawn: &mut dyn FnMut(Command) -> Result<()>) -> Result<()> {
        let program = on_path("redis-server").context("redis-server is not on PATH")?;
        let mut command = detached(program, &site.folder, &site.log)?;
        command.args(["--port", &site.port().to_string(), "--bind", "127.0.0.1", "--appendonly", "no"]);
        // One save point a day away: it never writes while it works, but does when it is stopped.
        command.args(["--save", "86400 1"]);
        spawn(command)
    }

    fn ready(&self, site: &Site) -> bool {
        // While it loads its data it answers with an error.
        answers(site.port(), b"PING\r\n", |answer| answer.starts_with(b"+PONG"))
    }

    fn url(&self, port: u16) -> String {
        format!("redis://127.0.0.1:{port}/0")
    }
}
