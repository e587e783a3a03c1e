//! `chassis flow check`: what it tells of broken flows, and that the shipped ones are right. Those over the shipped plugins want
//! `CHASSIS_PLUGINS_DIR` with `embedded` and `http-api` in it.
#![allow(clippy::unwrap_used)]

mod process_support;

use chassis::flow::set::is_flow;
use process_support::House;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CONFIG: &str = "[instances.echo]\nplugin = \"echo\"\n\n[roles]\nvoice = \"echo\"\n";

/// The command over the embedded profile of this repository; `None` when there is no folder of plugins, and the test then says so.
fn chassis(arguments: &[&str]) -> Option<Output> {
    let Some(plugins) = std::env::var_os("CHASSIS_PLUGINS_DIR") else {
        println!("skipped: CHASSIS_PLUGINS_DIR is not set");
        return None;
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_chassis"));
    command.current_dir(root()).env("CHASSIS_PLUGINS_DIR", plugins).args(["--profile", "embedded"]);
    Some(command.args(arguments).output().unwrap())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_nearest_right_name() {
    for name in ["names", "fields", "circle", "misfit", "effect", "itself", "trigger"] {
        let file = format!("host/tests/broken_flows/{name}.toml");
        let Some(done) = chassis(&["flow", "check", &file]) else { return };
        let told = std::fs::read_to_string(root().join(&file).with_extension("txt")).unwrap();
        assert_eq!(String::from_utf8_lossy(&done.stderr), told, "{file}");
        assert_eq!((done.status.code(), done.stdout.len()), (Some(3), 0), "{file}");
    }
}

#[test]
fn the_shipped_flows_are_right() {
    let Some(done) = chassis(&["flow", "check", "--json"]) else { return };
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(0), ""));
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    let shipped = std::fs::read_dir(root().join("flows")).unwrap();
    let shipped = shipped.filter(|entry| is_flow(&entry.as_ref().unwrap().path()));
    assert_eq!(told["flows"].as_array().unwrap().len(), shipped.count());
}

#[test]
fn flows_of_a_profile_are_checked_by_config_check_too() {
    let house = House::new(CONFIG);
    for arguments in [&["flow", "check"][..], &["config", "check"], &["flow", "check", "flows/say.toml"]] {
        assert_eq!(house.chassis(arguments).code, 0, "{arguments:?}");
    }
    house.write("flows/say.toml", "[steps.said]\ncall = \"voice.ecko\"\nundo = \"none\"\n");
    let problem = json!({
        "file": "flows/say.toml", "line": 2, "column": 8, "field": "steps.said.call",
        "message": "the instance `echo` has no operation `ecko`; did you mean `echo`?",
    });
    for arguments in [&["flow", "check", "--json"][..], &["config", "check", "--json"]] {
        let done = house.chassis(arguments);
        let told: Value = serde_json::from_str(&done.err).unwrap();
        assert_eq!((done.code, &told["error"]["problems"]), (3, &json!([problem])), "{done:?}");
    }
}

#[test]
fn a_file_is_checked_whatever_is_wrong_with_the_others() {
    let house = House::new(CONFIG);
    house.write("flows/broken.toml", "steps = 1\n");
    assert_eq!(house.chassis(&["flow", "check", "flows/say.toml"]).code, 0);
    assert_eq!(house.chassis(&["flow", "check"]).code, 3);
    let none = house.chassis(&["flow", "check", "flows/none.toml"]);
    assert!(none.code == 3 && none.err.contains("flows/none.toml:1:1: cannot be read"), "{none:?}");
}
