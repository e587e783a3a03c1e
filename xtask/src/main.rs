//! The workshop of Chassis: everything that is done with the checkout, in one place.
#![forbid(unsafe_code)]

mod backends;
mod place;
mod run;
mod ui;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, test and try Chassis.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Real servers for tests and demo: PostgreSQL, MongoDB's protocol, Redis, RabbitMQ, Elasticsearch, nginx
    #[command(subcommand)]
    Backends(backends::Verb),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Backends(verb) => backends::run(verb),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
