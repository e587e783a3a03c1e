//! The workshop of Chassis: everything that is done with the checkout, in one place.
#![forbid(unsafe_code)]

mod backends;
mod bench;
mod build;
mod cargo;
mod ci;
mod demo;
mod faults;
mod manifest;
mod observe;
mod place;
mod results;
mod run;
mod stack;
mod test;
mod tidy;
mod ui;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Everything that is done with a checkout of Chassis
///
/// To see it work:         cargo xtask demo
/// On six real servers:    cargo xtask demo --profile local
/// In containers:          cargo xtask up
/// To prove every plugin:  cargo xtask test
/// While writing one:      cargo xtask test NAME
///                         cargo xtask manifest NAME
///
/// Servers are installed where that is possible (Debian, as root) and run on
/// ports of their own on 127.0.0.1; nothing that was not started from here is
/// touched. What takes minutes to get is kept in the folder CHASSIS_CACHE, by
/// default `chassis` in your cache folder.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the whole main job: embedded on a bare machine, or on the six real servers
    Demo(demo::Options),
    /// Test everything, or one plugin, against the real servers; the last line counts passed, failed, skipped
    Test(test::Options),
    /// Build plugins and put them where the host looks for them
    Build(build::Options),
    /// Write what is generated from code: each plugin's manifest.json and README tables, and the C header
    Manifest(manifest::Options),
    /// Start, stop and look at the real servers
    #[command(subcommand)]
    Backends(backends::Verb),
    /// Measure, with optimisation, against the real servers
    Bench(bench::Options),
    /// Break create-user in every way, then read all five stores directly: each user is in all of them or in none
    Faults(faults::Options),
    /// Start the whole stack in containers: backends, host, Jaeger, Prometheus, Grafana; say where to look
    ///
    /// Looks first whether the engine answers, the ports are free, and disk and memory suffice, and says what to do about
    /// each that is not so. Waits until every container is healthy, makes a few users by the flow create-user, and prints
    /// the addresses. Ports and passwords are variables: see .env.example. Ends with 3 where there is no container engine.
    Up(stack::Up),
    /// Stop the stack and remove its containers; what they stored stays, without --volumes
    Down(stack::Down),
    /// Say how the stack's containers are; ends with 1 unless all that were started are healthy
    Status(stack::Status),
    /// Print the logs of the stack's containers
    Logs(stack::Logs),
    /// Prove panels, alerts, traces and links against the real Prometheus, Alertmanager and Jaeger
    Observe(observe::Options),
    /// Check the house rules
    Tidy,
    /// Every check in stages: what continuous integration runs
    Ci,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Build(options) => build::run(&options),
        Task::Manifest(options) => manifest::run(&options),
        Task::Backends(verb) => backends::run(verb),
        Task::Bench(options) => bench::run(&options),
        Task::Faults(options) => faults::run(&options),
        Task::Up(options) => stack::up(&options),
        Task::Down(options) => stack::down(&options),
        Task::Status(options) => stack::status(&options),
        Task::Logs(options) => stack::logs(&options),
        Task::Observe(options) => observe::run(&options),
        Task::Tidy => tidy::run(&place::root()),
        Task::Ci => ci::run(),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
