//! `cargo xtask up`, `down`, `status`, `logs`: the whole stack in containers, by docker-compose.yml.

#[cfg(test)]
mod compose_file;
mod containers;
mod engine;
mod machine;
mod ports;
mod services;
mod settings;
mod users;
mod watch;

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use self::containers::{Container, Standing};
use self::engine::{Engine, NoEngine};
use self::machine::Machine;
use self::services::{Service, chosen, file};
use self::settings::Settings;
use crate::place::{root, target};
use crate::ui::say;

/// The exit code where no engine can be used.
const NO_ENGINE: u8 = 3;

#[derive(Args)]
pub struct Up {
    /// Without backends: the host on its embedded profile, Jaeger, Prometheus, Grafana
    #[arg(long)]
    minimal: bool,
    /// Start although disk or memory may not suffice
    #[arg(long)]
    anyway: bool,
}

#[derive(Args)]
pub struct Down {
    /// Remove what they stored, too
    #[arg(long)]
    volumes: bool,
}

#[derive(Args)]
pub struct Status {
    /// As one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Logs {
    /// Of this one only: chassis, grafana, jaeger, prometheus, postgres, …
    service: Option<String>,
    /// Go on printing what comes
    #[arg(long, short)]
    follow: bool,
}

/// Runs a command that needs an engine; where there is none it ends with 3.
fn with_engine(work: impl FnOnce(&Engine) -> Result<u8>) -> Result<u8> {
    match Engine::find() {
        Ok(engine) => work(&engine),
        Err(error) if error.is::<NoEngine>() => {
            eprintln!("error: {error}");
            Ok(NO_ENGINE)
        }
        Err(error) => Err(error),
    }
}

/// Runs the command.
pub fn up(options: &Up) -> Result<u8> {
    with_engine(|engine| {
        let file = file(options.minimal);
        let settings = Settings::read(&root())?;
        let running = engine.containers(file).unwrap_or_default();
        let mut lacks = ports_lacking(&settings, options.minimal, &running)?;
        // What runs has its memory and its images already.
        if running.is_empty() && !options.anyway {
            let built = engine.has_image(machine::IMAGE);
            let small = Machine::look(engine).lacks(options.minimal, built);
            lacks.extend(small.into_iter().map(|lack| format!("{lack}; or `--anyway`")));
        }
        if !lacks.is_empty() {
            eprintln!("error: nothing was started\n  {}", lacks.join("\n  "));
            return Ok(1);
        }
        let names: Vec<&str> = chosen(options.minimal).map(|service| service.name).collect();
        watch::start(engine, file, &names, &target().join("stack/up.log"))?;
        let users = users::make(edge(&settings)?)?;
        say("chassis", &format!("made the users {} by the flow create-user", users.join(", ")));
        print_addresses(&settings, options.minimal)?;
        Ok(0)
    })
}

/// The ports that can't be had, each with who has it; those of our own containers are no hindrance.
fn ports_lacking(settings: &Settings, minimal: bool, running: &[Container]) -> Result<Vec<String>> {
    let ours = |service: &&Service| {
        running.iter().any(|container| container.service == service.name && runs(container))
    };
    let bind = settings.bind()?;
    let mut lacks = Vec::new();
    for service in chosen(minimal).filter(|service| !ours(service)) {
        for door in service.doors {
            let why = ports::taken(bind, settings.port(door)?, door.variable);
            lacks.extend(why.map(|why| format!("{}: {why}", service.name)));
        }
    }
    Ok(lacks)
}

fn runs(container: &Container) -> bool {
    !matches!(container.standing, Standing::Waiting | Standing::Ended)
}

fn edge(settings: &Settings) -> Result<SocketAddr> {
    let host = chosen(true).find(|service| service.name == "chassis").context("the stack has no host")?;
    Ok(SocketAddr::new(settings.host()?, settings.port(&host.doors[0])?))
}

fn print_addresses(settings: &Settings, minimal: bool) -> Result<()> {
    println!();
    for service in chosen(minimal) {
        for door in service.doors {
            let at = SocketAddr::new(settings.host()?, settings.port(door)?).to_string();
            let address = door.address.replace("{}", &at);
            println!("{}", format!("{:<14} {address:<46} {}", service.name, door.look).trim_end());
        }
    }
    println!(
        "\nHow it is: cargo xtask status, cargo xtask logs chassis --follow. The end: cargo xtask down."
    );
    Ok(())
}

/// Runs the command.
pub fn down(options: &Down) -> Result<u8> {
    with_engine(|engine| {
        // Each file knows its own volumes; the second call removes what the first knows nothing of.
        for minimal in [true, false] {
            let mut command = engine.compose(file(minimal));
            command.args(["down", "--remove-orphans"]);
            if options.volumes {
                command.arg("--volumes");
            }
            let code = status_of(&mut command)?;
            if code != 0 {
                return Ok(code);
            }
        }
        Ok(0)
    })
}

/// Runs the command.
pub fn status(options: &Status) -> Result<u8> {
    with_engine(|engine| {
        let containers = engine.containers(file(false))?;
        let well = !containers.is_empty() && containers.iter().all(|one| one.standing == Standing::Healthy);
        if options.json {
            println!("{}", status_json(&containers, well));
        } else if containers.is_empty() {
            println!("nothing runs; `cargo xtask up` starts it");
        }
        for one in containers.iter().filter(|_| !options.json) {
            println!(
                "{}",
                format!("{:<14} {:<10} {}", one.service, one.standing.word(), one.status).trim_end()
            );
        }
        Ok(u8::from(!well))
    })
}

/// One line: `{"ok":…,"services":[{"name":…,"state":…,"status":…}]}`.
fn status_json(containers: &[Container], well: bool) -> Value {
    let one =
        |one: &Container| json!({"name": one.service, "state": one.standing.word(), "status": one.status});
    json!({"ok": well, "services": containers.iter().map(one).collect::<Vec<_>>()})
}

/// Runs the command.
pub fn logs(options: &Logs) -> Result<u8> {
    with_engine(|engine| {
        let mut command = engine.compose(file(false));
        command.args(["logs", "--tail", "200"]);
        if options.follow {
            command.arg("--follow");
        }
        command.args(&options.service);
        status_of(&mut command)
    })
}

/// The command's own exit code; killed by a signal is no success either.
fn status_of(command: &mut Command) -> Result<u8> {
    let status = command.status().context("cannot run Compose")?;
    Ok(status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::services::SERVICES;

    fn container(service: &str, standing: Standing) -> Container {
        Container { service: service.to_owned(), standing, status: String::new() }
    }

    #[test]
    fn a_port_is_looked_at_unless_our_own_container_has_it() {
        let folder = std::env::temp_dir().join(format!("xtask-up-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::fs::write(folder.join(".env"), format!("CHASSIS_PORT={port}\n")).unwrap();
        let settings = Settings::read(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let lacking = |running: &[Container]| {
            let all = ports_lacking(&settings, true, running).unwrap();
            all.into_iter().find(|why| why.starts_with("chassis: "))
        };
        let why = lacking(&[]).unwrap();
        assert!(
            why.contains(&format!("port {port} is held by")) && why.contains("set CHASSIS_PORT="),
            "{why}"
        );
        assert_eq!(lacking(&[container("chassis", Standing::Healthy)]), None);
        assert!(lacking(&[container("chassis", Standing::Ended)]).is_some());
        assert_eq!(edge(&settings).unwrap().port(), port);
    }

    #[test]
    fn the_status_has_a_word_for_each() {
        let line = status_json(&[container("redis", Standing::Unhealthy)], false).to_string();
        assert_eq!(line, r#"{"ok":false,"services":[{"name":"redis","state":"unhealthy","status":""}]}"#);
        assert!(SERVICES.iter().all(|service| !service.doors.is_empty()));
    }
}
