//! The container engine: Docker or Podman, with Compose.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::containers::{self, Container};
use crate::place::{on_path, root};

/// No engine can be used here, and what to do. Not an error of ours.
#[derive(Debug)]
pub struct NoEngine(pub String);

impl std::fmt::Display for NoEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoEngine {}

/// An engine that answers, and how its Compose is called.
#[derive(Debug)]
pub struct Engine {
    program: PathBuf,
    compose: Vec<PathBuf>,
    /// The machine's memory as the engine has it, which may be that of a virtual one.
    pub memory: Option<u64>,
    /// Where it keeps images and volumes.
    pub folder: Option<PathBuf>,
}

/// What was found of one engine.
#[derive(Debug)]
struct Found {
    name: &'static str,
    program: Option<PathBuf>,
    compose: Option<Vec<PathBuf>>,
    /// What it says of itself, or why it does not.
    answer: Result<Value, String>,
}

impl Engine {
    /// The first that can be used.
    pub fn find() -> Result<Engine> {
        choose(["docker", "podman"].map(look).into())
    }

    /// A command of Compose on one of the checkout's files.
    pub fn compose(&self, file: &str) -> Command {
        let mut words = self.compose.iter();
        let mut command = Command::new(words.next().unwrap_or(&self.program));
        command.args(words).args(["--file", file]).current_dir(root());
        command.env("COMPOSE_PROGRESS", "plain").env("BUILDKIT_PROGRESS", "plain");
        command
    }

    /// How the containers are.
    pub fn containers(&self, file: &str) -> Result<Vec<Container>> {
        let mut command = self.compose(file);
        let output =
            command.args(["ps", "--all", "--format", "json"]).output().context("cannot run Compose")?;
        if !output.status.success() {
            bail!("`compose ps` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        containers::parse(&String::from_utf8_lossy(&output.stdout))
    }

    /// Whether an image is there.
    pub fn has_image(&self, name: &str) -> bool {
        let mut command = Command::new(&self.program);
        command.args(["image", "inspect", name]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

fn look(name: &'static str) -> Found {
    let program = on_path(name);
    let mut found = Found { name, program: None, compose: None, answer: Err(String::new()) };
    let Some(program) = program else { return found };
    let alone = on_path(&format!("{name}-compose")).map(|compose| vec![compose]);
    let built_in = Some(vec![program.clone(), PathBuf::from("compose")]);
    found.compose = [built_in, alone].into_iter().flatten().find(|words| answers(words));
    let output = Command::new(&program).args(["info", "--format", "{{json .}}"]).output();
    found.answer = match output {
        Ok(output) if output.status.success() => {
            serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
        }
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    };
    found.program = Some(program);
    found
}

fn answers(words: &[PathBuf]) -> bool {
    let Some((program, rest)) = words.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(rest).arg("version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn choose(all: Vec<Found>) -> Result<Engine> {
    let mut reasons = Vec::new();
    for found in all {
        match usable(found) {
            Ok(engine) => return Ok(engine),
            Err(why) => reasons.extend(why),
        }
    }
    let reasons = reasons.join("\n  ");
    bail!(NoEngine(format!(
        "there is no container engine that can be used\n  {reasons}\nWithout one, `cargo xtask demo` shows the main job, and \
         `cargo xtask demo --profile local` does it on the six real servers."
    )))
}

fn usable(found: Found) -> Result<Engine, Vec<String>> {
    let name = found.name;
    let Some(program) = found.program else {
        let package = if name == "docker" {
            "docker.io and docker-compose-v2, or Docker's own"
        } else {
            "podman and podman-compose"
        };
        return Err(vec![format!("{name}: not on PATH; install {package}")]);
    };
    match (found.compose, found.answer) {
        (Some(compose), Ok(answer)) => {
            let memory = answer["MemTotal"].as_u64().or_else(|| answer["host"]["memTotal"].as_u64());
            let folder = answer["DockerRootDir"].as_str().or_else(|| answer["store"]["graphRoot"].as_str());
            Ok(Engine { program, compose, memory, folder: folder.map(PathBuf::from) })
        }
        (compose, answer) => {
            let mut reasons = Vec::new();
            if compose.is_none() {
                reasons.push(format!("{name}: it has no Compose; install the package docker-compose-v2, docker-compose-plugin or {name}-compose"));
            }
            if let Err(why) = answer {
                let why = why.lines().last().unwrap_or("it does not answer").to_owned();
                reasons
                    .push(format!("{name}: {why} (sudo systemctl start {name}; or is it another user's?)"));
            }
            Err(reasons)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(name: &'static str, compose: bool, answer: Result<Value, String>) -> Found {
        let program = PathBuf::from(name);
        let words = vec![program.clone(), PathBuf::from("compose")];
        Found { name, program: Some(program), compose: compose.then_some(words), answer }
    }

    fn absent(name: &'static str) -> Found {
        Found { name, program: None, compose: None, answer: Err(String::new()) }
    }

    #[test]
    fn the_first_that_answers_is_taken() {
        let docker =
            || found("docker", true, Ok(json!({"MemTotal": 8_000_000_000_u64, "DockerRootDir": "/d"})));
        let podman =
            || found("podman", true, Ok(json!({"host": {"memTotal": 7}, "store": {"graphRoot": "/p"}})));
        let engine = choose(vec![docker(), podman()]).unwrap();
        assert_eq!((engine.memory, engine.folder), (Some(8_000_000_000), Some("/d".into())));
        let engine = choose(vec![found("docker", true, Err("no daemon".into())), podman()]).unwrap();
        assert_eq!((engine.memory, engine.folder.clone()), (Some(7), Some("/p".into())));
        let command = engine.compose("docker-compose.yml");
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        assert_eq!(
            (command.get_program().to_str(), words.join(" ").as_str()),
            (Some("podman"), "compose --file docker-compose.yml")
        );
    }

    #[test]
    fn without_one_each_reason_is_told_with_what_to_do() {
        let why = |all| {
            let error = choose(all).unwrap_err();
            assert!(error.is::<NoEngine>());
            error.to_string()
        };
        let none = why(vec![absent("docker"), absent("podman")]);
        assert!(
            none.contains("docker: not on PATH; install docker.io") && none.contains("podman-compose"),
            "{none}"
        );
        let idle = why(vec![
            found("docker", false, Err("Server:\nCannot connect to the daemon".into())),
            absent("podman"),
        ]);
        assert!(idle.contains("docker: it has no Compose; install"), "{idle}");
        assert!(idle.contains("docker: Cannot connect to the daemon (sudo systemctl start docker"), "{idle}");
        assert!(idle.contains("cargo xtask demo"), "{idle}");
    }
}
