//! The proof that what the operator sees is true. `cargo xtask observe` builds and starts what it needs.
#![forbid(unsafe_code)]

use chassis_observe::parts::{self, Options};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A host as a process of its own, without another binary: its arguments are its own.
    if std::env::var_os(chassis_faults::host::AS_HOST).is_some() {
        return chassis::cli::main();
    }
    match parts::run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
