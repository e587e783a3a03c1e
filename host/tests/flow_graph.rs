//! `chassis flow graph`: without plugins, without a host, of the file alone.
#![allow(clippy::unwrap_used)]

use chassis::flow::graph::Graph;
use chassis::flow::{Flow, FlowSet};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The command where there are no plugins.
fn graph(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chassis"));
    command.current_dir(folder).env("CHASSIS_PLUGINS_DIR", "there-is-none").env("COLUMNS", "120");
    command.env_remove("CHASSIS_PROFILE").args(["flow", "graph"]).args(arguments).output().unwrap()
}

fn printed(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

/// A drawing that is kept, so that a change of it is seen.
fn kept(name: &str) -> String {
    std::fs::read_to_string(root().join("host/tests/drawings").join(name)).unwrap()
}

#[test]
fn create_user_is_drawn_as_it_is_kept() {
    assert_eq!(printed(&graph(&root(), &["create-user"])), kept("create-user.txt"));
    assert_eq!(printed(&graph(&root(), &["flows/create-user.toml", "--mermaid"])), kept("create-user.mmd"));
}

#[test]
fn every_word_of_a_step_is_in_the_drawing() {
    let file = root().join("host/tests/drawings/words.toml");
    let file = file.to_str().unwrap();
    assert_eq!(printed(&graph(&std::env::temp_dir(), &[file])), kept("words.txt"));
    assert_eq!(printed(&graph(&std::env::temp_dir(), &[file, "--mermaid"])), kept("words.mmd"));
}

#[test]
fn every_shipped_flow_is_drawn_with_all_its_steps_and_edges() {
    let flows = FlowSet::load(&root().join("flows")).unwrap();
    assert!(flows.iter().count() >= 9);
    for flow in flows.iter() {
        let text = printed(&graph(&root(), &[&flow.name])).to_owned();
        let told: Value = serde_json::from_str(printed(&graph(&root(), &[&flow.name, "--json"]))).unwrap();
        let mermaid: Value =
            serde_json::from_str(printed(&graph(&root(), &[&flow.name, "--json", "--mermaid"]))).unwrap();
        let mermaid = mermaid["mermaid"].as_str().unwrap();
        let waves: Vec<&str> = told["waves"].as_array().unwrap().iter().flat_map(names).collect();
        assert_eq!(waves.len(), flow.steps.len(), "{waves:?}");
        for (at, step) in flow.steps.iter().enumerate() {
            let named = |line: &&str| line.split_whitespace().any(|word| word == step.name);
            let row = text.lines().find(|line| named(line) && line.contains(&step.work.to_string()));
            let row = row.unwrap_or_else(|| panic!("{}: no {}\n{text}", flow.name, step.name));
            let told = &told["steps"][at];
            assert_eq!(told["name"], step.name.as_str());
            for after in names(&told["after"]) {
                let other = flow.steps.iter().position(|other| other.name == after).unwrap();
                assert!(row.split("← ").nth(1).unwrap().contains(after), "{row}");
                assert!(mermaid.contains(&format!("\n    s{other} --> s{at}\n")), "{mermaid}");
            }
            assert_eq!(mermaid.contains(&format!("s{at} -.-> u{at}")), told["undo"]["call"].is_string());
        }
    }
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[test]
fn a_step_stands_below_all_that_it_waits_for_and_an_arrow_says_only_what_is_new() {
    let text = "[steps.d]\ncall = \"x.y\"\nafter = [\"a\", \"c\"]\n[steps.c]\ncall = \"x.y\"\nafter = [\"b\"]\n\
        [steps.b]\ncall = \"x.y\"\nafter = [\"a\"]\n[steps.a]\ncall = \"x.y\"\n[steps.e]\ncall = \"x.y\"\nafter = [\"a\"]\n";
    let told = Graph::of(&Flow::parse("t", "t.toml", text).unwrap()).json();
    assert_eq!(told["waves"], serde_json::json!([["a"], ["b", "e"], ["c"], ["d"]]));
    assert_eq!(
        (&told["steps"][0]["needs"], &told["steps"][0]["after"]),
        (&"[\"c\",\"a\"]".parse().unwrap(), &"[\"c\"]".parse().unwrap())
    );
}

#[test]
fn what_is_no_flow_is_told() {
    let unknown = graph(&root(), &["creat-user"]);
    let told = String::from_utf8_lossy(&unknown.stderr);
    assert!(unknown.status.code() == Some(1) && told.contains("did you mean `create-user`?"), "{told}");
    let broken = graph(&root(), &["host/tests/broken_flows/circle.toml"]);
    let told = String::from_utf8_lossy(&broken.stderr);
    assert!(broken.status.code() == Some(3) && told.contains("circle.toml:"), "{told}");
}
