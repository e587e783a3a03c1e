//! `cargo xtask demo`: the whole main job, on a bare machine or on the real servers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::backends;
use crate::build::{self, Plugin};
use crate::place::{root, target};
use crate::ui::say;

#[derive(Args)]
pub struct Options {
    /// `embedded` needs no server; `local` uses the six real ones and starts them
    #[arg(long, value_enum, default_value_t = Profile::Embedded)]
    profile: Profile,
    /// Print the outcome as JSON in the last line
    #[arg(long)]
    json: bool,
    /// Anything else for `chassis demo`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Profile {
    Embedded,
    Local,
}

/// Runs the command; the exit code is the demo's.
pub fn run(options: &Options) -> Result<u8> {
    match options.profile {
        Profile::Embedded => embedded(options.json, &options.rest),
        Profile::Local => local(options.json, &options.rest),
    }
}

/// The demo without servers: of the house only what it needs is built.
pub fn embedded(json: bool, rest: &[String]) -> Result<u8> {
    say("demo", "building the host and the plugins embedded and http-api");
    let plugins = build::chosen(&["embedded".to_owned(), "http-api".to_owned()])?;
    let folder = build::build_with(&plugins, &["chassis"], false)?;
    demo("embedded", json, rest, &folder, &[])
}

fn local(json: bool, rest: &[String]) -> Result<u8> {
    // They need longest; the compiler works meanwhile.
    let servers = std::thread::spawn(|| backends::start(&backends::chosen(&[])?));
    say("demo", "building the host and all plugins; the servers start meanwhile");
    let plugins: Vec<Plugin> = build::plugins()?.into_iter().filter(|plugin| !plugin.example).collect();
    let built = build::build_with(&plugins, &["chassis"], false);
    let outcomes = servers.join().map_err(|_| anyhow::anyhow!("starting the servers panicked"))??;
    let folder = built?;
    if outcomes.iter().any(|outcome| !outcome.runs()) {
        bail!("the demo on real servers needs all six; the one above says what it lacks");
    }
    let own = std::env::current_exe().context("xtask does not know its own path")?;
    let command = |verb: &str| format!("{} backends {verb} {{backend}}", quoted(&own));
    let mut variables =
        vec![("CHASSIS_DEMO_STOP", command("stop")), ("CHASSIS_DEMO_START", command("start"))];
    variables.extend(backends::environment()?);
    let code = demo("local", json, rest, &folder, &variables)?;
    say("demo", "the servers still run, with what the demo left in them: `cargo xtask backends status`,");
    say("demo", "and `cargo xtask backends stop` when you have seen enough");
    Ok(code)
}

fn demo(
    profile: &str,
    json: bool,
    rest: &[String],
    plugins: &PathBuf,
    variables: &[(&'static str, String)],
) -> Result<u8> {
    let host = target().join("debug/chassis");
    let mut command = Command::new(&host);
    command.args(["demo", "--profile", profile]).current_dir(root());
    if json {
        command.arg("--json");
    }
    command.args(rest).env("CHASSIS_PLUGINS_DIR", plugins).envs(variables.iter().cloned());
    let status = command.status().with_context(|| format!("cannot run {}", host.display()))?;
    // Killed by a signal is no success either.
    Ok(status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1)))
}

/// A path as the shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_space_is_quoted() {
        assert_eq!(quoted(Path::new("/a/b-c")), "/a/b-c");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
