//! The demo on the embedded profile, whole: it holds, and it does not where something is wrong. Wants `CHASSIS_PLUGINS_DIR` with the
//! plugins `embedded` and `http-api` in it.
#![allow(clippy::unwrap_used)]

use chassis::config::Source;
use chassis::demo::{self, Options, Report};
use std::path::Path;

/// The top of the repository: the profile names its folders from there.
const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Plays the demo; `None` when there is no folder of plugins.
async fn play(test: &str, source: Source) -> Option<Report> {
    if std::env::var_os("CHASSIS_PLUGINS_DIR").is_none() {
        println!("skipped: {test}: CHASSIS_PLUGINS_DIR is not set");
        return None;
    }
    std::env::set_current_dir(TOP).unwrap();
    // The test is not the program, which is run as a second host.
    let binary = env!("CARGO_BIN_EXE_chassis").into();
    Some(demo::run(&Options { source, binary, json: true }).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_holds_on_the_embedded_profile() {
    let source = Source::Profile("embedded".to_owned());
    let Some(report) = play("the_demo_holds_on_the_embedded_profile", source).await else { return };
    assert!(report.ok());
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!((&json["ok"], &json["profile"]), (&true.into(), &"embedded".into()));
    assert_eq!(json["plugins"].as_array().unwrap().len(), 2);
    for check in json["checks"].as_array().unwrap() {
        assert!(check["ok"] == true && check["ms"].is_f64(), "{check}");
        assert_eq!(check["trace_id"].as_str().unwrap().len(), 32, "{check}");
    }
}

/// An undo that says it is done and does nothing is found out by reading the stores, not by believing the run.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_finds_what_an_undo_leaves() {
    let spoilt = [
        ("user", "key = { run_id = \"${run.id}\" }", "key = { run_id = \"another\" }"),
        (
            "preferences",
            "run_id = \"${run.id}\" }\n\n[steps.session]",
            "run_id = \"another\" }\n\n[steps.session]",
        ),
        ("session", "input = { key = \"${step.input.key}\" }", "input = { key = \"another\" }"),
        ("welcome", "message_id = \"${step.input.message_id}\" }", "message_id = \"another\" }"),
    ];
    for (step, good, bad) in spoilt {
        let folder = tempfile::tempdir().unwrap();
        copy(&Path::new(TOP).join("flows"), folder.path());
        let flow = folder.path().join("create-user.toml");
        let text = std::fs::read_to_string(&flow).unwrap();
        assert_eq!(text.matches(good).count(), 1, "{step}");
        std::fs::write(&flow, text.replace(good, bad)).unwrap();
        let config = std::fs::read_to_string(Path::new(TOP).join("config/embedded.toml")).unwrap();
        let flows = format!("flows_dir = {:?}", folder.path());
        let file = folder.path().join("config.spoilt");
        std::fs::write(&file, config.replace("flows_dir = \"flows\"", &flows)).unwrap();
        let Some(report) = play("the_demo_finds_what_an_undo_leaves", Source::File(file)).await else {
            return;
        };
        assert!(!report.ok(), "{step}");
        let failed: Vec<&str> =
            report.checks().iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
        assert!(failed.contains(&"nothing is left in the other four stores"), "{step}: {failed:?}");
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}
