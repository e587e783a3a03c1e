//! Starting the containers, a line for each thing that happens to one, until all are healthy.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::containers::{Container, Standing};
use super::engine::Engine;
use crate::run::tail;
use crate::ui::{say, took};

/// How long containers that run may take until they are healthy; images may take as long as they like.
const PATIENCE: Duration = Duration::from_secs(300);

/// Starts them and waits.
pub fn start(engine: &Engine, file: &str, expected: &[&str], log: &Path) -> Result<()> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = engine.compose(file);
    command.args(["up", "--detach", "--build", "--remove-orphans"]);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let mut child = command.spawn().context("cannot run Compose")?;
    let watched = watch(engine, file, expected, log, &mut child);
    if watched.is_err() {
        // What runs already is left as it is: its logs say why.
        let _ = child.kill();
    }
    child.wait()?;
    watched
}

fn watch(engine: &Engine, file: &str, expected: &[&str], log: &Path, child: &mut Child) -> Result<()> {
    let mut progress = Progress::default();
    let mut ended = None;
    loop {
        if ended.is_none()
            && let Some(status) = child.try_wait()?
        {
            ended = Some((Instant::now(), status));
        }
        // While images are fetched there is no project yet, which some versions call an error.
        let containers = engine.containers(file).unwrap_or_default();
        for line in progress.news(&containers) {
            say(&line.0, &line.1);
        }
        let bad = |standing| containers.iter().filter(move |container| container.standing == standing);
        match ended {
            Some((_, status)) if !status.success() => {
                let ill: Vec<&Container> = bad(Standing::Unhealthy).chain(bad(Standing::Ended)).collect();
                bail!("Compose ended with {status}\n{}{}", tail(log, 12), advice(&ill));
            }
            Some(_) if all_healthy(&containers, expected) => return Ok(()),
            Some((since, _)) if since.elapsed() > PATIENCE => {
                let ill: Vec<&Container> =
                    containers.iter().filter(|container| container.standing != Standing::Healthy).collect();
                bail!("not all are healthy after {}{}", took(PATIENCE), advice(&ill));
            }
            None => progress.sign_of_life(log),
            Some(_) => {}
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn all_healthy(containers: &[Container], expected: &[&str]) -> bool {
    let healthy = |name: &&str| {
        containers
            .iter()
            .any(|container| container.service == *name && container.standing == Standing::Healthy)
    };
    expected.iter().all(healthy)
}

/// What to look at for those that are not well.
fn advice(ill: &[&Container]) -> String {
    let line = |container: &&Container| {
        let (name, word) = (&container.service, container.standing.word());
        format!("\n  {name} is {word}: cargo xtask logs {name}")
    };
    ill.iter().map(line).collect()
}

/// What was told already.
struct Progress {
    begin: Instant,
    told: BTreeMap<String, Standing>,
    spoken: Instant,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress { begin: Instant::now(), told: BTreeMap::new(), spoken: Instant::now() }
    }
}

impl Progress {
    /// A service and a text for each that is not as it was.
    fn news(&mut self, containers: &[Container]) -> Vec<(String, String)> {
        let mut news = Vec::new();
        for Container { service, standing, status } in containers {
            if self.told.insert(service.clone(), *standing) == Some(*standing) {
                continue;
            }
            let after = took(self.begin.elapsed());
            let text = match standing {
                Standing::Waiting => "made; waits for what it depends on".to_owned(),
                Standing::Healthy => format!("healthy after {after}"),
                Standing::Ended => format!("ended: {status}"),
                other => other.word().to_owned(),
            };
            news.push((service.clone(), text));
            self.spoken = Instant::now();
        }
        news
    }

    /// Every ten seconds in which nothing happened, what Compose did last.
    fn sign_of_life(&mut self, log: &Path) {
        if self.spoken.elapsed() < Duration::from_secs(10) {
            return;
        }
        self.spoken = Instant::now();
        let text = std::fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("working");
        let short: String = last.chars().take(100).collect();
        say("compose", &format!("{} so far: {short}", took(self.begin.elapsed())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(service: &str, standing: Standing) -> Container {
        Container { service: service.to_owned(), standing, status: "Exited (1)".to_owned() }
    }

    #[test]
    fn a_change_is_told_once() {
        let mut progress = Progress::default();
        let mut told = |standing| progress.news(&[container("redis", standing)]).pop().map(|(_, text)| text);
        assert!(told(Standing::Waiting).unwrap().starts_with("made"));
        assert_eq!(told(Standing::Waiting), None);
        assert_eq!(told(Standing::Starting).unwrap(), "starting");
        assert!(told(Standing::Healthy).unwrap().starts_with("healthy after "));
        assert_eq!(told(Standing::Ended).unwrap(), "ended: Exited (1)");
    }

    #[test]
    fn all_means_all_that_were_asked_for() {
        let containers = [container("redis", Standing::Healthy), container("api", Standing::Starting)];
        assert!(all_healthy(&containers, &["redis"]));
        assert!(!all_healthy(&containers, &["redis", "api"]));
        assert!(!all_healthy(&containers, &["redis", "grafana"]), "one that is missing is not healthy");
        let ill: Vec<&Container> = containers[1..].iter().collect();
        assert_eq!(advice(&ill), "\n  api is starting: cargo xtask logs api");
    }
}
