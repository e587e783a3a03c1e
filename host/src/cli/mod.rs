//! The command line: one file a command.

use std::process::ExitCode;

/// Reads the arguments, does what they say, and answers with the exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
