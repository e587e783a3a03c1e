//! The proof that what the operator sees is true. `cargo xtask observe` builds and starts what it needs.
#![forbid(unsafe_code)]

use chassis_faults::host;
use chassis_observe::parts::{self, Options};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    host::main(|| parts::run(&Options::parse()))
}
