//! Benchmarks that run both sides in one process and one run, interleaved, and print ratios. `cargo xtask bench NAME` builds
//! and starts what they need.
#![forbid(unsafe_code)]

mod boundary;
mod flows;
mod load;
mod policies;
mod sink;
mod spin;
mod stats;
mod telemetry;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    match arguments.first().map(String::as_str) {
        Some("boundary") => boundary::run(json),
        Some("flows") => flows::run(json),
        Some("policies") => policies::run(json),
        Some("telemetry") => telemetry::run(json),
        Some("spin") => spin::run(&arguments[1..]),
        Some("otlp-sink") => sink::run(),
        Some("load") => boundary::load::child(),
        _ => bail!("say which benchmark: boundary, flows, policies, telemetry; or spin, for a profiler"),
    }
}
