//! `cargo xtask backends`: the real servers, on ports of their own, never touching one that we did not start.

mod api;
mod backend;
mod compose;
mod elasticsearch;
mod install;
mod jaeger;
mod mongodb;
mod postgres;
mod probe;
mod prometheus;
mod rabbitmq;
mod redis;
mod report;
mod start;
mod state;
mod stop;
pub mod tool;
mod toxiproxy;

use anyhow::{Result, bail};
use clap::Subcommand;

use self::state::State;
use crate::place;

pub use self::backend::Backend;
pub use self::install::packages;
pub use self::report::Standing;
pub use self::start::start;
pub use self::stop::{stop, stop_all};
pub use self::tool::Tool;
pub use self::toxiproxy::toxiproxy;

/// Every server there is. A new one is a file here and a line in this list.
const ALL: [&dyn Backend; 6] = [
    &postgres::Postgres,
    &mongodb::MongoDb,
    &redis::Redis,
    &rabbitmq::RabbitMq,
    &elasticsearch::Elasticsearch,
    &api::Api,
];

#[derive(Subcommand)]
pub enum Verb {
    /// Start servers and wait until each answers; what is missing is installed first where that is possible
    ///
    /// A server that runs already is left alone. One that was stopped by name comes back with its port and data.
    /// Ends with 0 when all run, 3 when some can't be had here (skipped, with the reason), 1 when some failed.
    Start {
        /// Which ones: postgres, mongodb, redis, rabbitmq, elasticsearch, api. All, if none is named
        names: Vec<String>,
        /// Print the outcome as one line of JSON on stdout
        #[arg(long)]
        json: bool,
    },
    /// Stop servers that we started
    ///
    /// One stopped by name keeps its port and data for the next start. Stopping all deletes the data.
    Stop {
        /// Which ones. All, if none is named
        names: Vec<String>,
    },
    /// Say which servers run, where, and since which process
    Status {
        /// As one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Print `export` lines with the address of every server that runs: eval "$(cargo xtask backends env)"
    Env,
    /// Print the path of a program that tests use and that is no backend; one that is missing is built or fetched first
    ///
    /// Ends with 3 when it can't be had here, with the reason.
    Tool {
        /// Which one
        #[arg(value_enum)]
        name: tool::Tool,
    },
}

/// Runs the command; the number is the exit code.
pub fn run(verb: Verb) -> Result<u8> {
    match verb {
        Verb::Start { names, json } => {
            let outcomes = start(&chosen(&names)?)?;
            if json {
                println!("{}", report::outcomes_json(&outcomes));
            }
            Ok(report::exit_code(&outcomes))
        }
        Verb::Stop { names } if names.is_empty() => stop_all().map(|()| 0),
        Verb::Stop { names } => stop(&chosen(&names)?).map(|()| 0),
        Verb::Status { json } => report::status(json).map(|()| 0),
        Verb::Env => {
            for (name, value) in environment()? {
                println!("export {name}='{value}'");
            }
            Ok(0)
        }
        Verb::Tool { name } => tool::print(name),
    }
}

/// The addresses of the servers that run, as environment variables.
pub fn environment() -> Result<Vec<(&'static str, String)>> {
    let state = State::read(&place::backends())?;
    let running = ALL.iter().filter_map(|backend| {
        let server = state.servers.get(backend.name())?;
        server.alive().map(|_| (backend.variable(), server.url.clone()))
    });
    Ok(running.collect())
}

/// The processes of the servers that run, as environment variables (`CHASSIS_REDIS_PID`): for whoever wants one to stand still.
pub fn process_ids() -> Result<Vec<(String, String)>> {
    let state = State::read(&place::backends())?;
    let running = ALL.iter().filter_map(|backend| {
        let process = state.servers.get(backend.name())?.alive()?;
        Some((format!("CHASSIS_{}_PID", backend.name().to_uppercase()), process.pid.to_string()))
    });
    Ok(running.collect())
}

/// The names of the servers that a plugin needs: the one of its own name, if there is one.
pub fn names_for(plugin: &str) -> Vec<String> {
    find(plugin).map(|backend| backend.name().to_owned()).into_iter().collect()
}

/// The servers of these names; all for none.
pub fn chosen(names: &[String]) -> Result<Vec<&'static dyn Backend>> {
    if names.is_empty() {
        return Ok(ALL.to_vec());
    }
    let mut chosen: Vec<&'static dyn Backend> = Vec::new();
    for name in names {
        let Some(backend) = find(name) else {
            let known: Vec<&str> = ALL.iter().map(|backend| backend.name()).collect();
            bail!("there is no server `{name}`; the servers are {}", known.join(", "));
        };
        if !chosen.iter().any(|other| other.name() == backend.name()) {
            chosen.push(backend);
        }
    }
    Ok(chosen)
}

/// Which of our servers run now.
pub fn running() -> Result<Vec<&'static dyn Backend>> {
    let state = State::read(&place::backends())?;
    let runs =
        |backend: &&&dyn Backend| state.servers.get(backend.name()).is_some_and(|s| s.alive().is_some());
    Ok(ALL.iter().filter(runs).copied().collect())
}

fn find(name: &str) -> Option<&'static dyn Backend> {
    ALL.into_iter().find(|backend| backend.name() == name || backend.aliases().contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_resolved_and_wrong_ones_explained() {
        let names = |given: &[&str]| {
            let given: Vec<String> = given.iter().map(|name| name.to_string()).collect();
            chosen(&given).map(|list| list.iter().map(|backend| backend.name()).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), ALL.len());
        assert_eq!(names(&["http-api", "redis", "api"]).unwrap(), ["api", "redis"]);
        assert!(names(&["oracle"]).unwrap_err().to_string().contains("postgres, mongodb"));
        assert_eq!(names_for("http-api"), ["api"]);
        assert!(names_for("embedded").is_empty());
    }

    #[test]
    fn no_two_servers_share_a_port_or_a_variable() {
        let ports: Vec<u16> = ALL.iter().flat_map(|backend| backend.usual_ports().to_vec()).collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        let variables: BTreeSet<&str> = ALL.iter().map(|backend| backend.variable()).collect();
        assert_eq!(variables.len(), ALL.len());
    }
}
