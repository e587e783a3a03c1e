//! `chassis flow new`: what it writes is right as it is, and nothing is written over. Checking and testing it wants
//! `CHASSIS_PLUGINS_DIR` with `embedded` and `http-api` in it.
#![allow(clippy::unwrap_used)]

use chassis::cases::beside;
use chassis::flow::starters::{Starter, check_name};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn chassis(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chassis"));
    command.current_dir(folder).env_remove("CHASSIS_PROFILE").args(arguments).output().unwrap()
}

#[test]
fn each_template_passes_its_check_and_its_cases() {
    let folder = tempfile::tempdir().unwrap();
    let templates = ["effect", "read", "list", "message"];
    for template in templates {
        let name = format!("my-{template}");
        let made = chassis(folder.path(), &["flow", "new", &name, "--template", template]);
        assert!(made.status.success(), "{made:?}");
        let drawn = chassis(folder.path(), &["flow", "graph", &name]);
        assert!(
            String::from_utf8_lossy(&drawn.stdout).starts_with(&format!("flow    {name}\n")),
            "{drawn:?}"
        );
    }
    assert_eq!(templates.len(), Starter::ALL.len());
    if std::env::var_os("CHASSIS_PLUGINS_DIR").is_none() {
        println!("skipped: each_template_passes_its_check_and_its_cases: CHASSIS_PLUGINS_DIR is not set");
        return;
    }
    let checked = chassis(folder.path(), &["flow", "check", "--json"]);
    let told: Value = serde_json::from_slice(&checked.stdout).unwrap_or_else(|_| panic!("{checked:?}"));
    assert_eq!(told["flows"].as_array().unwrap().len(), templates.len());
    let tested = chassis(folder.path(), &["flow", "test", "--json"]);
    let told: Value = serde_json::from_slice(&tested.stdout).unwrap_or_else(|_| panic!("{tested:?}"));
    assert!(tested.status.success(), "{told:#}");
    assert_eq!(told["files"].as_array().unwrap().len(), templates.len());
}

#[test]
fn nothing_is_written_over_and_nothing_is_left_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let new = |name: &str| chassis(folder.path(), &["flow", "new", name, "--json"]);
    let made = new("refund");
    let told: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(
        (&told["flow"], &told["cases"]),
        (&"flows/refund.toml".into(), &"flows/refund.test.toml".into())
    );
    let flow = folder.path().join("flows/refund.toml");
    std::fs::write(&flow, "mine").unwrap();
    assert_eq!(new("refund").status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&flow).unwrap(), "mine");
    // The cases alone are as good a reason.
    std::fs::remove_file(&flow).unwrap();
    let refused = new("refund");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("flows/refund.test.toml is there already"),
        "{refused:?}"
    );
    assert!(!flow.exists() && beside(&flow).exists());
}

#[test]
fn a_bad_name_is_refused_with_the_reason() {
    for (name, why) in [
        ("Refund", "it has `R`"),
        ("refund order", "it has ` `"),
        ("refund.toml", "without `.toml`"),
        ("draft/refund", "it is a name and no path"),
        ("2refund", "it does not begin with a letter"),
        ("refund.test", "it has `.`"),
        ("", "it is empty"),
    ] {
        let told = check_name(name).unwrap_err();
        assert!(told.contains(why) && told.contains("write small letters"), "{told}");
    }
    check_name("refund-order_2").unwrap();
    assert!(check_name(&"a".repeat(65)).unwrap_err().contains("longer than 64"));
    let folder = tempfile::tempdir().unwrap();
    let refused = chassis(folder.path(), &["flow", "new", "Refund"]);
    assert!(refused.status.code() == Some(2) && !folder.path().join("flows").exists(), "{refused:?}");
}
