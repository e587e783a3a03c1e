//! The compose files, read by Compose's own loader: what no engine is needed for is held here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::machine::{IMAGE, needed_memory};
use super::services::{chosen, file};
use super::settings::variables;
use crate::backends::tool::Tool;
use crate::place::root;

/// What the stack may come to.
const MOST_CONTAINERS: usize = 14;
const MOST_MEMORY: u64 = 4_000_000_000;

/// The loader, or why there is none.
fn loader() -> Option<PathBuf> {
    match Tool::ComposeLoader.path() {
        Ok(path) => Some(path),
        Err(error) => {
            println!("skipped: xtask compose file: {error:#}");
            None
        }
    }
}

/// What Compose understands of a file, without any variable of this machine; its error otherwise.
fn load(loader: &Path, file: &Path, options: &[&str]) -> Result<Value, String> {
    let mut command = Command::new(loader);
    command.args(["--format", "json"]).args(options).arg(file).env_clear().current_dir(root());
    let output = command.output().unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn services(model: &Value) -> BTreeMap<&str, &Value> {
    let all = model["services"].as_object().unwrap();
    all.iter().map(|(name, service)| (name.as_str(), service)).collect()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn compose_accepts_both_files_and_they_are_what_up_says_of_them() {
    let Some(loader) = loader() else { return };
    for minimal in [false, true] {
        let name = file(minimal);
        // As written, so that the names of variables are seen.
        let model = load(&loader, &root().join(name), &["--no-interpolation"]).unwrap();
        let found = services(&model);
        let expected: BTreeSet<&str> = chosen(minimal).map(|service| service.name).collect();
        assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), expected, "{name}");
        let mut megabytes = 0;
        for service in chosen(minimal) {
            let written = found[service.name];
            let limit = written["mem_limit"].as_str().and_then(|limit| limit.strip_suffix('m')).unwrap();
            assert_eq!(limit.parse::<u64>().unwrap(), service.memory_mb, "{name}: {}", service.name);
            megabytes += service.memory_mb;
            let ports: BTreeSet<&str> = texts(&written["ports"]).into_iter().collect();
            let doors = service.doors.iter().map(|door| (door.variable, door.usual));
            let begin = |(variable, usual)| format!("${{BIND_ADDRESS:-127.0.0.1}}:${{{variable}:-{usual}}}:");
            let begins: Vec<String> = doors.map(begin).collect();
            let held = |port: &&str| begins.iter().any(|begin| port.starts_with(begin.as_str()));
            assert_eq!(ports.len(), begins.len(), "{name}: {}: {ports:?}", service.name);
            assert!(ports.iter().all(held), "{name}: {}: {ports:?} are not {begins:?}", service.name);
        }
        assert!(found.len() <= MOST_CONTAINERS, "{name}: {} containers", found.len());
        assert!(needed_memory(minimal) < MOST_MEMORY, "{name}: {megabytes} MB");
        println!("{name}: {} containers, {megabytes} MiB of memory at most", found.len());
    }
}

#[test]
fn every_service_is_pinned_watched_and_bounded() {
    let Some(loader) = loader() else { return };
    for minimal in [false, true] {
        let model = load(&loader, &root().join(file(minimal)), &[]).unwrap();
        for (name, service) in services(&model) {
            let image = service["image"].as_str().unwrap();
            let (_, tag) = image.rsplit_once(':').unwrap_or((image, ""));
            let pinned =
                tag.contains('.') && tag.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
            assert!(pinned, "{name}: {image} is no version");
            let test = texts(&service["healthcheck"]["test"]);
            assert!(test.len() > 1 && test[0].starts_with("CMD"), "{name}: no health check: {test:?}");
            assert_eq!(service["restart"], "unless-stopped", "{name}");
            assert!(
                service["logging"]["options"]["max-size"].is_string(),
                "{name}: its log grows without end"
            );
            for (other, needs) in service["depends_on"].as_object().into_iter().flatten() {
                assert_eq!(needs["condition"], "service_healthy", "{name} needs {other}");
                // The loader's command reads a model; what it refers to is looked at here.
                assert!(model["services"].get(other).is_some(), "{name} needs {other}, which there is not");
            }
            for volume in service["volumes"].as_array().into_iter().flatten() {
                let source = volume["source"].as_str().unwrap();
                if volume["type"] == "bind" {
                    assert!(Path::new(source).exists(), "{name}: {source} is not in the repository");
                    assert_eq!(volume["read_only"], true, "{name}: {source} could be written");
                } else {
                    assert!(model["volumes"].get(source).is_some(), "{name}: {source} is no volume");
                }
            }
        }
        let chassis = &model["services"]["chassis"];
        assert_eq!((&chassis["image"], &chassis["read_only"]), (&IMAGE.into(), &true.into()));
    }
}

#[test]
fn what_compose_does_not_know_is_refused() {
    let Some(loader) = loader() else { return };
    let folder = std::env::temp_dir().join(format!("xtask-compose-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let whole = std::fs::read_to_string(root().join(file(false))).unwrap();
    let broken = [
        ("mem_limit:", "mem_limt:"),
        ("condition: service_healthy", "condition: service_well"),
        ("read_only: true", "read_only: perhaps"),
        ("retries: 5", "retries: many"),
        ("  redis:\n    <<: *service", "  redis:\n    <<: *servise"),
    ];
    for (right, wrong) in broken {
        assert!(whole.contains(right), "{right}");
        let copy = folder.join("docker-compose.yml");
        std::fs::write(&copy, whole.replace(right, wrong)).unwrap();
        assert!(load(&loader, &copy, &[]).is_err(), "{wrong} was accepted");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_example_names_every_variable_with_its_default() {
    let example = variables(&std::fs::read_to_string(root().join(".env.example")).unwrap());
    let mut written = BTreeMap::new();
    for minimal in [false, true] {
        let text = std::fs::read_to_string(root().join(file(minimal))).unwrap();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        for part in lines.flat_map(|line| line.split("${").skip(1)) {
            let (name, default) = part.split_once('}').unwrap().0.split_once(":-").unwrap();
            let before = written.insert(name.to_owned(), default.to_owned());
            assert!(before.is_none_or(|before| before == default), "{name} has two defaults");
        }
    }
    assert_eq!(written, example);
}
