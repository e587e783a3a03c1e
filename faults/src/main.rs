//! The proof that flows leave nothing half done. `cargo xtask faults` builds and starts what it needs.
#![forbid(unsafe_code)]

use anyhow::Result;
use chassis_faults::parts::{self, Options};
use clap::Parser;
use std::process::ExitCode;

fn main() -> Result<ExitCode> {
    // A host as a process of its own, without another binary: its arguments are its own.
    if std::env::var_os(chassis_faults::host::AS_HOST).is_some() {
        return Ok(chassis::cli::main());
    }
    parts::run(&Options::parse())
}
