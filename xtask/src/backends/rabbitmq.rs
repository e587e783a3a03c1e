//! RabbitMQ, from Debian. It gets a name server (epmd) of its own, so that other Erlang nodes are not met.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::backend::{Backend, Site};
use super::probe::{answers, listens};
use crate::place::on_path;
use crate::run::detached;

pub struct RabbitMq;

impl Backend for RabbitMq {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn variable(&self) -> &'static str {
        "CHASSIS_RABBITMQ_URL"
    }

    fn usual_ports(&self) -> &'static [u16] {
        // AMQP, the distribution protocol, the name server.
        &[15673, 15674, 15675]
    }

    fn missing_packages(&self) -> Vec<&'static str> {
        if server().is_some() && on_path("epmd").is_some() { vec![] } else { vec!["rabbitmq-server"] }
    }

    fn launch(&self, site: &Site, spawn: &mut dyn FnMut(Command) -> Result<()>) -> Result<()> {
        let [port, distribution, names] = site.ports[..] else {
            anyhow::bail!("rabbitmq needs three ports");
        };
        let epmd = on_path("epmd").context("epmd is not on PATH")?;
        let mut command = detached(epmd, &site.folder, &site.log)?;
        spawn({
            command.args(["-address", "127.0.0.1", "-port", &names.to_string()]);
            command
        })?;
        let begin = Instant::now();
        while !listens(names) {
            ensure!(begin.elapsed() < Duration::from_secs(5), "epmd does not listen on port {names}");
            std::thread::sleep(Duration::from_millis(20));
        }

        std::fs::write(site.folder.join("enabled_plugins"), "[].\n")?;
        std::fs::write(
            site.folder.join("rabbitmq.conf"),
            format!("listeners.tcp.1 = 127.0.0.1:{port}\ndisk_free_limit.absolute = 50MB\n"),
        )?;
        let mut command =
            detached(server().context("rabbitmq-server is not installed")?, &site.folder, &site.log)?;
        let here = |name: &str| site.folder.join(name);
        command
            .env("RABBITMQ_NODENAME", "chassis@localhost")
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("ERL_EPMD_PORT", names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", here("mnesia"))
            .env("RABBITMQ_LOG_BASE", here("log"))
            .env("RABBITMQ_PID_FILE", here("pid"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", here("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", here("enabled_plugins"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
            )
            // The script then becomes the server, instead of waiting beside it under another pid.
            .env("RUNNING_UNDER_SYSTEMD", "true");
        spawn(command)
    }

    fn ready(&self, site: &Site) -> bool {
        // The port opens last; to a client's greeting it answers with a method frame.
        answers(site.port(), b"AMQP\0\0\x09\x01", |answer| answer.first() == Some(&1))
    }

    fn url(&self, port: u16) -> String {
        format!("amqp://guest:guest@127.0.0.1:{port}/%2f")
    }
}

/// The server's script itself: the one on PATH switches to another user first.
fn server() -> Option<PathBuf> {
    let debian = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
    if debian.exists() { Some(debian.to_path_buf()) } else { on_path("rabbitmq-server") }
}
