//! `cargo xtask ci`: every check, in stages, with times. One failure does not hide the next.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cargo::cargo;
use crate::place::root;
use crate::ui::took;
use crate::{demo, manifest, observe, test, tidy};

/// Runs the command: 0 if every stage passed.
pub fn run() -> Result<u8> {
    let begin = Instant::now();
    let mut rows: Vec<(&str, Duration, bool)> = Vec::new();
    for (name, stage) in STAGES {
        println!("\n== {name}");
        let begin = Instant::now();
        let passed = match stage() {
            Ok(code) => code == 0,
            Err(error) => {
                eprintln!("error: {error:#}");
                false
            }
        };
        rows.push((name, begin.elapsed(), passed));
    }
    println!("\n== summary");
    for (name, time, passed) in &rows {
        println!("{name:<12} {:<7} {}", if *passed { "passed" } else { "FAILED" }, took(*time));
    }
    let failed = rows.iter().filter(|(_, _, passed)| !passed).count();
    println!("{} stages passed, {failed} failed in {}", rows.len() - failed, took(begin.elapsed()));
    Ok(u8::from(failed > 0))
}

/// A stage gives an exit code.
type Stage = fn() -> Result<u8>;

/// Cheap ones first; those that share compiled crates stand together.
const STAGES: [(&str, Stage); 8] = [
    ("format", || status(&["fmt", "--all", "--check"], &[])),
    ("tidy", || tidy::run(&root())),
    ("clippy", || status(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])),
    ("docs", || status(&["doc", "--no-deps", "--workspace"], &[("RUSTDOCFLAGS", "-D warnings")])),
    ("generated", || manifest::run(&manifest::Options::check())),
    ("test", || test::run(&test::Options::default())),
    ("observe", || observe::run(&observe::Options::after_tests())),
    ("demo", || demo::embedded(true, &[])),
];

fn status(arguments: &[&str], variables: &[(&str, &str)]) -> Result<u8> {
    let passed = cargo(arguments).envs(variables.iter().copied()).status()?.success();
    Ok(u8::from(!passed))
}
