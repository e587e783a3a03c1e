//! The proof that flows leave nothing half done. `cargo xtask faults` builds and starts what it needs.
#![forbid(unsafe_code)]

use chassis_faults::host;
use chassis_faults::parts::{self, Options};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    host::main(|| parts::run(&Options::parse()))
}
