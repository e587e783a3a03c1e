//! The runbooks' own commands, each run against a host of the profile `embedded`: those in blocks that say `sh`.

use crate::ask::{Asking, new_user};
use crate::load::user_id;
use crate::process::free_port;
use crate::stack::{root, tool};
use anyhow::{Context, Result, ensure};
use chassis_faults::host::Host;
use serde_json::json;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::Command;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Commands that were run.
    pub commands: usize,
    /// What is wrong; a line each.
    pub wrong: Vec<String>,
}

/// The address that the runbooks name.
const ADDRESS: &str = "127.0.0.1:7700";

/// Runs them.
pub async fn run() -> Result<Found> {
    let folder = tempfile::tempdir()?;
    let listen = format!("127.0.0.1:{}", free_port()?);
    let data = folder.path().to_string_lossy().into_owned();
    let variables = [("CHASSIS__EDGE__LISTEN", listen.clone()), ("CHASSIS_DATA", data)];
    let config = root().join("config/embedded.toml");
    let host = Host::start_with(&config, &folder.path().join("host.log"), &variables).await?;
    // A host that has seen nothing has nothing to tell.
    let asking = Asking::new(&host)?;
    asking.completed("setup", &json!({})).await?;
    let created = asking.completed("create-user", &new_user()).await?;
    asking.completed("get-user", &json!({ "id": user_id(&created.body) })).await?;
    let binary = tool("CHASSIS_HOST")?;
    let beside = binary.parent().context("the host's binary has no folder")?;
    let path = std::env::join_paths(
        [beside.to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let mut found = Found::default();
    for (page, line) in commands()? {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(line.replace(ADDRESS, &listen))
            .env("PATH", &path)
            .envs(variables.iter().cloned());
        let output = command.current_dir(root()).stdin(Stdio::null()).output().await?;
        found.commands += 1;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            let said: String = String::from_utf8_lossy(&said).trim().chars().take(300).collect();
            found.wrong.push(format!("docs/runbooks/{page}: `{line}` ended with {}: {said}", output.status));
        }
    }
    host.stop().await?;
    ensure!(found.commands > 0, "the runbooks have no command");
    Ok(found)
}

/// The lines of all blocks `sh`, each with its page.
fn commands() -> Result<Vec<(String, String)>> {
    let mut pages: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(root().join("docs/runbooks"))? {
        pages.push(entry?.path());
    }
    pages.sort();
    let mut commands = Vec::new();
    for page in pages.iter().filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        commands.extend(lines(&std::fs::read_to_string(page)?).map(|line| (name.clone(), line.to_owned())));
    }
    Ok(commands)
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut within = false;
    text.lines().filter(move |line| {
        if line.starts_with("```") {
            within = *line == "```sh";
            return false;
        }
        within && !line.trim().is_empty() && !line.starts_with('#')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_need_the_real_stack_are_left_out() {
        let text = "a\n```sh\none\n# why\n\ntwo\n```\nb\n```sh real\nthree\n```\n";
        assert_eq!(lines(text).collect::<Vec<_>>(), ["one", "two"]);
    }
}
