//! `chassis flow test`: the shipped cases pass, and what does not come as it was expected is told. Those over the shipped flows want
//! `CHASSIS_PLUGINS_DIR` with `embedded` and `http-api` in it.
#![allow(clippy::unwrap_used)]

mod process_support;

use process_support::House;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CONFIG: &str = "[instances.echo]\nplugin = \"echo\"\n\n[roles]\nvoice = \"echo\"\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The command over the embedded profile of this repository; `None` when there is no folder of plugins, and the test then says so.
fn chassis(test: &str, arguments: &[&str], temporary: &Path) -> Option<Output> {
    let Some(plugins) = std::env::var_os("CHASSIS_PLUGINS_DIR") else {
        println!("skipped: {test}: CHASSIS_PLUGINS_DIR is not set");
        return None;
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_chassis"));
    command.current_dir(root()).env("CHASSIS_PLUGINS_DIR", plugins).env("TMPDIR", temporary);
    // Whatever profile is otherwise worked with.
    command.env("CHASSIS_PROFILE", "local").args(["flow", "test"]);
    Some(command.args(arguments).output().unwrap())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn every_shipped_case_passes_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let Some(done) = chassis("every_shipped_case_passes_and_leaves_nothing", &["--json"], temporary.path())
    else {
        return;
    };
    let told: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    assert_eq!(done.status.code(), Some(0), "{told:#}");
    let flows: Vec<&str> =
        told["files"].as_array().unwrap().iter().map(|file| file["flow"].as_str().unwrap()).collect();
    for flow in ["create-user", "search-users", "process-welcome", "get-user", "update-user", "delete-user"] {
        assert!(flows.contains(&flow), "{flows:?}");
    }
    let left = std::fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("chassis-case-")).collect();
    assert_eq!(left, [""; 0]);
}

/// The part of a document that is TOML and has these words in it.
fn example(document: &str, words: &str) -> String {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let mut examples = text.split("```toml\n").skip(1).filter_map(|after| after.split("```").next());
    examples.find(|example| example.contains(words)).unwrap_or_else(|| panic!("{words}")).to_owned()
}

#[test]
fn the_examples_of_the_documents_run() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("rename-user.toml", example("README.md", "Gives a user another name"));
    write("rename-user.test.toml", example("README.md", "drops the session"));
    write("create-user.toml", std::fs::read_to_string(root().join("flows/create-user.toml")).unwrap());
    write("create-user.test.toml", example("flows/README.md", "the answer of the queue is lost"));
    let files = ["rename-user.toml", "create-user.toml"].map(|name| folder.path().join(name));
    let arguments = files.each_ref().map(|file| file.to_str().unwrap());
    let Some(done) = chassis("the_examples_of_the_documents_run", &arguments, folder.path()) else { return };
    let told = text(&done.stdout);
    assert!(done.status.success() && told.contains("2 cases, 2 passed"), "{done:?}");
}

#[test]
fn a_flow_that_leaves_something_fails_its_cases() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = |name: &str| std::fs::read_to_string(root().join("flows").join(name)).unwrap();
    let flow = shipped("create-user.toml");
    let careless = flow.replace(
        "undo = { call = \"sessions.delete\", input = { key = \"${step.input.key}\" } }",
        "undo = \"none\"",
    );
    assert_ne!(flow, careless);
    std::fs::write(folder.path().join("create-user.toml"), careless).unwrap();
    let cases = folder.path().join("create-user.test.toml");
    std::fs::write(&cases, shipped("create-user.test.toml")).unwrap();
    let cases = cases.to_str().unwrap();
    let arguments = [cases, "--case", "the queue fails", "--case", "in all five stores"];
    let Some(done) = chassis("a_flow_that_leaves_something_fails_its_cases", &arguments, folder.path())
    else {
        return;
    };
    let told = text(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{told}");
    assert!(told.contains("✓") && told.contains("2 cases, 1 passed, 1 failed"), "{told}");
    let miss = format!("{cases}:46:20: states.nowhere[2].answer.value: expected null, got \"{{");
    assert!(told.contains(&miss), "{miss}\n{told}");
}

#[test]
fn what_is_wrong_with_a_case_file_is_told_with_its_place_and_the_nearest_right_name() {
    let temporary = std::env::temp_dir();
    for name in ["words", "world"] {
        let file = format!("host/tests/broken_cases/{name}.test.toml");
        let test = "what_is_wrong_with_a_case_file_is_told_with_its_place_and_the_nearest_right_name";
        let Some(done) = chassis(test, &[&file], &temporary) else { return };
        let kept =
            std::fs::read_to_string(root().join(format!("host/tests/broken_cases/{name}.txt"))).unwrap();
        assert_eq!(text(&done.stderr), kept, "{file}");
        assert_eq!((done.status.code(), done.stdout.len()), (Some(3), 0), "{file}");
    }
}

/// A house whose flow `say` has these cases.
fn house(cases: &str) -> House {
    let house = House::new(CONFIG);
    house.write("flows/say.test.toml", cases);
    house
}

#[test]
fn a_missed_expectation_is_told_with_file_line_field_what_was_expected_and_what_came() {
    let house = house(
        r#"[[case]]
name = "all is well"
input = { text = "hello" }
expect = { state = "completed", exact_output = { said = "hello" } }

[[case]]
name = "nothing is"
input = { text = "hello" }

[case.expect]
state = "completed"
output = { said = "good bye", twice = true }
that = "output.said == 'x'"
steps = { said = "skipped" }

[[case.fault]]
kind = "error"
nth = 7

[[case.state]]
call = "voice.echo"
input = { value = "${output.said}!" }
answer = { value = "hello" }

[[case.state]]
call = "voice.echo"
input = { value = "${output.said}" }
error = "not_found"

[[case]]
name = "the run ends otherwise"
input = { text = 5 }
expect = { state = "undone" }

[[case]]
name = "it fails for another reason"
input = { text = "hello" }
fault = [{ kind = "error", code = "aborted", message = "as was asked for" }]
expect = { state = "undone", error = { code = "internal", message = "of itself" } }
"#,
    );
    let done = house.chassis(&["flow", "test", "say"]);
    assert_eq!(done.code, 1, "{done:?}");
    let told: Vec<&str> =
        done.out.lines().filter_map(|line| line.trim().strip_prefix("flows/say.test.toml:")).collect();
    assert_eq!(
        told,
        [
            "16:1: case[1].fault[0]: no call met it: the run made only 1 that it is aimed at",
            "14:18: case[1].expect.steps.said: expected \"skipped\", got \"completed\"",
            "12:19: case[1].expect.output.said: expected \"good bye\", got \"hello\"",
            "12:39: case[1].expect.output.twice: expected true, got nothing",
            "13:8: case[1].expect.that: `output.said == 'x'` does not hold; the output is {\"said\":\"hello\"}",
            "23:20: case[1].state[0].answer.value: expected \"hello\", got \"hello!\"",
            "28:9: case[1].state[1].error: expected \"not_found\", got {\"value\":\"hello\"}",
            "33:20: case[2].expect.state: expected \"undone\", got \"refused\" (invalid_argument: the input of flow `say` does not fit: text: must be of type string, but is integer)",
            "39:47: case[3].expect.error.code: expected \"internal\", got \"aborted\" (as was asked for)",
            "39:69: case[3].expect.error.message: expected \"of itself\", got \"as was asked for\"",
        ],
        "{}",
        done.out
    );
    assert!(
        done.out.contains("  all is well") && done.out.contains("4 cases, 1 passed, 3 failed in "),
        "{}",
        done.out
    );
    let told = house.chassis(&["flow", "test", "flows/say.toml", "--json", "--case", "otherwise"]).json();
    assert_eq!((&told["ok"], &told["failed"]), (&json!(false), &json!(1)));
    let case = &told["files"][0]["cases"][0];
    assert_eq!(
        (&case["line"], &case["state"], &case["passed"]),
        (&json!(30), &json!("refused"), &json!(false))
    );
    let miss = &case["misses"][0];
    assert_eq!((&miss["line"], &miss["field"]), (&json!(33), &json!("case[2].expect.state")));
    assert_eq!((&miss["expected"], &miss["got"]), (&json!("undone"), &json!("refused")));
}

#[test]
fn what_goes_wrong_before_the_flow_is_told_and_the_flow_not_run() {
    let house = house(
        r#"setup = ["say"]

[[case]]
name = "its setup does not run"
input = { text = "hello" }
expect = { state = "completed" }
"#,
    );
    let done = house.chassis(&["flow", "test"]);
    let told = "flows/say.test.toml:1:10: setup[0]: the flow `say` does not run: invalid_argument: the input of flow `say` does not fit: text: is missing";
    assert!(done.code == 1 && done.out.contains(told), "{done:?}");
}

#[test]
fn a_run_can_be_expected_to_be_stuck_and_cases_are_no_flows() {
    let house = House::new(CONFIG);
    house.write(
        "flows/stays.toml",
        "[steps.a]\ncall = \"voice.echo\"\ninput = { value = \"a\" }\n[steps.a.undo]\ncall = \"voice.echo\"\nrepeatable = true\n\
         input = { value = \"${[step.output.value][int(size(run.id))]}\" }\n\
         [steps.b]\ncall = \"voice.panic\"\nafter = [\"a\"]\nundo = \"none\"\n",
    );
    house.write(
        "flows/stays.test.toml",
        "[[case]]\nname = \"it is stuck\"\nexpect = { state = \"stuck\", error = { step = \"b\" }, steps = { a = \"undo_failed\" } }\n",
    );
    let done = house.chassis(&["flow", "test", "stays"]);
    assert_eq!(done.code, 0, "{done:?}");
    let listed = house.chassis(&["flow", "list", "--json"]).json();
    assert_eq!(listed["flows"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_tested_is_told() {
    let house = house(
        "[[case]]\nname = \"all is well\"\ninput = { text = \"a\" }\nexpect = { state = \"completed\" }\n",
    );
    house.write("flows/other.toml", "[steps.a]\ncall = \"voice.ecko\"\nundo = \"none\"\n");
    let told = |arguments: &[&str]| {
        let done = house.chassis(&[&["flow", "test"], arguments].concat());
        (done.code, done.err)
    };
    assert_eq!(told(&["say"]).0, 0, "a flow is tested whatever is wrong with the others");
    let (code, err) = told(&["other"]);
    assert!(code == 1 && err.contains("write them to flows/other.test.toml"), "{err}");
    let (code, err) = told(&["sya"]);
    assert!(code == 1 && err.contains("did you mean `say`?"), "{err}");
    let (code, err) = told(&["--case", "nothing"]);
    assert!(code == 2 && err.contains("there are:\n  all is well"), "{err}");
    house.write("flows/other.test.toml", "[[case]]\nname = \"a\"\nexpect = { state = \"completed\" }\n");
    let (code, err) = told(&[]);
    assert!(
        code == 3 && err.contains("flows/other.toml:2:8: steps.a.call"),
        "the flow is checked too: {err}"
    );
    house.write("flows/none.test.toml", "");
    let (code, err) = told(&["flows/none.test.toml"]);
    assert!(code == 3 && err.contains("flows/none.toml:1:1: cannot be read"), "{err}");
    house.write("flows/none.toml", "[steps.a]\ncall = \"voice.echo\"\n");
    let (code, err) = told(&["none"]);
    assert!(code == 3 && err.contains("flows/none.test.toml:1:1: there is no case"), "{err}");
}

#[test]
fn data_that_is_not_the_case_s_own_is_not_touched() {
    let Some(plugins) = std::env::var_os("CHASSIS_PLUGINS_DIR") else {
        println!("skipped: data_that_is_not_the_case_s_own_is_not_touched: CHASSIS_PLUGINS_DIR is not set");
        return;
    };
    let house =
        house("[[case]]\nname = \"a\"\ninput = { text = \"a\" }\nexpect = { state = \"completed\" }\n");
    let data = house.path("mine.db");
    house.write(
        "t.toml",
        &format!(
            "[instances.voice]\nplugin = \"embedded\"\ncontract = \"cache\"\nconfig = {{ path = {data:?} }}\n"
        ),
    );
    house.write("flows/say.toml", "[input]\ntext = \"string\"\n[steps.a]\ncall = \"voice.get\"\ninput = { key = \"a\" }\nundo = \"none\"\n");
    let mut command = house.command();
    let done = command.env("CHASSIS_PLUGINS_DIR", plugins).args(["flow", "test"]).output().unwrap();
    let told = text(&done.stderr);
    assert!(
        done.status.code() == Some(3) && told.contains("t.toml:4: instances.voice.config.path"),
        "{told}"
    );
    assert!(told.contains("${env:CHASSIS_DATA:-data}/voice.db") && !data.exists(), "{told}");
}
