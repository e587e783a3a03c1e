//! `cargo xtask manifest`: writes what is generated from code: each plugin's manifest.json, the tables of its README, and
//! the contract's C header.

use anyhow::Result;
use clap::Args;

use crate::build::chosen;
use crate::cargo::cargo;

#[derive(Args)]
pub struct Options {
    /// Which plugins. All, and the C header, if none is named
    plugins: Vec<String>,
    /// Write nothing; fail if a file is not what the code says
    #[arg(long)]
    check: bool,
}

impl Options {
    /// All plugins, and nothing written.
    pub fn check() -> Options {
        Options { plugins: Vec::new(), check: true }
    }
}

/// Runs the command.
pub fn run(options: &Options) -> Result<u8> {
    let mut arguments = vec!["test"];
    let plugins: Vec<String> = chosen(&options.plugins)?
        .into_iter()
        .filter(|plugin| plugin.folder.join("tests/conformance.rs").exists())
        .map(|plugin| plugin.package)
        .collect();
    if options.plugins.is_empty() {
        // All together, so that cargo resolves the features that the whole test run uses and builds nothing twice.
        arguments.extend(["--workspace", "--test", "header"]);
    } else {
        plugins.iter().for_each(|package| arguments.extend(["-p", package]));
    }
    arguments.extend(["--no-fail-fast", "--test", "conformance", "--", "manifest", "header_is_current"]);
    let mut command = cargo(&arguments);
    if !options.check {
        command.env("CHASSIS_BLESS", "1");
    }
    let passed = command.status()?.success();
    if !passed && options.check {
        eprintln!(
            "a generated file is not current: run `cargo xtask manifest`, look at the change, and commit it"
        );
    }
    Ok(u8::from(!passed))
}
