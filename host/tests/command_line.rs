//! The command line as scripts see it: output, errors, exit codes.

mod process_support;

use process_support::House;
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

const CONFIG: &str =
    "[instances.echo]\nplugin = \"echo\"\nconfig = { prefix = \"> \" }\n\n[roles]\nvoice = \"echo\"\n";

#[test]
fn an_operation_is_called_and_its_answer_printed() {
    let house = House::new(CONFIG);
    let done = house.chassis(&["call", "echo", "echo", r#"{"value": "hello"}"#]);
    assert_eq!((done.code, done.json()), (0, json!({"value": "> hello"})), "{done:?}");
    // By its role; the input from standard input.
    let mut child = house.command();
    child.args(["call", "voice", "echo", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(br#"{"value": "piped"}"#).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"value\":\"> piped\"}\n");
}

#[test]
fn items_of_a_stream_are_printed_a_line_each() {
    let done = House::new(CONFIG).chassis(&["call", "echo", "count", r#"{"to": 40}"#]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.out.lines().filter(|line| line.contains("\"n\"")).count(), 40, "{done:?}");
    let failed = House::new(CONFIG).chassis(&["call", "echo", "count", r#"{"to": 3, "fail": true}"#]);
    assert_ne!(failed.code, 0, "{failed:?}");
}

#[test]
fn an_interrupt_ends_a_stream_that_would_go_on() {
    let house = House::new(CONFIG);
    let mut child = house.command();
    child
        .args(["call", "echo", "count", r#"{"to": 1000000000000}"#])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = child.spawn().unwrap();
    let mut items = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(items.next().unwrap().unwrap().contains("\"n\""));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    // Read to the end, so that the child is not held up by a full pipe.
    let more = items.map_while(Result::ok).count();
    assert_eq!(child.wait().unwrap().code(), Some(130), "after {more} items");
}

#[test]
fn raw_bytes_go_in_and_out_by_files() {
    let house = House::new(CONFIG);
    house.write("in.bin", "\u{0}raw\u{1}");
    let done = house.chassis(&["call", "echo", "echo_raw", "--raw-in", "in.bin", "--raw-out", "out.bin"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(std::fs::read(house.path("out.bin")).unwrap(), std::fs::read(house.path("in.bin")).unwrap());
}

#[test]
fn exit_codes_tell_what_kind_of_failure_it_was() {
    let house = House::new(CONFIG);
    let code = |args: &[&str]| house.chassis(args).code;
    assert_eq!(code(&["call", "echo", "panic"]), 1);
    assert_eq!(code(&["call", "echo"]), 2);
    assert_eq!(code(&["call", "echo", "echo", "no json"]), 2);
    assert_eq!(House::new("nonsense = 1").chassis(&["health"]).code, 3);
    assert_eq!(code(&["call", "echo", "sleep", r#"{"ms": 20000}"#, "--timeout", "50"]), 4);
    assert_eq!(code(&["health"]), 0);
    let down = House::new(
        "[instances.echo]\nplugin = \"echo\"\nconfig = { down = true }\n[roles]\nvoice = \"echo\"\n",
    );
    let health = down.chassis(&["health", "--json"]);
    assert_eq!(health.code, 4, "{health:?}");
    assert_eq!(health.json()["instances"][0]["state"], "unavailable");
}

#[test]
fn an_error_says_what_where_and_what_to_do() {
    let house = House::new(CONFIG);
    let err = |args: &[&str]| house.chassis(args).err;
    assert!(err(&["call", "ech", "echo"]).contains("there is no instance `ech`; did you mean `echo`?"));
    assert!(err(&["call", "echo", "eco"]).contains("has no operation `eco`; did you mean `echo`?"));
    let late = err(&["call", "echo", "sleep", r#"{"ms": 20000}"#, "--timeout", "50"]);
    assert!(late.starts_with("error: deadline_exceeded: "), "{late}");
    let json = house.chassis(&["--json", "call", "echo", "eco"]);
    let document: serde_json::Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!(document["error"]["code"], "unimplemented");
}

#[test]
fn a_flow_runs_to_its_end() {
    let house = House::new(CONFIG);
    let done = house.chassis(&["flow", "run", "say", r#"{"text": "hello"}"#]);
    assert_eq!((done.code, done.json()), (0, json!({"said": "> hello"})), "{done:?}");
    let done = house.chassis(&["flow", "run", "say", r#"{"text": "hello"}"#, "--json"]);
    assert_eq!(done.json()["state"], "completed");
    let listed = house.chassis(&["flow", "list", "--json"]).json();
    assert_eq!(listed["flows"][0]["name"], "say");
    assert_eq!(house.chassis(&["flow", "run", "sya", "{}"]).code, 1);
}

#[test]
fn plugins_and_instances_are_listed_without_running_them_and_a_bad_one_harms_no_other() {
    let house = House::new(CONFIG);
    house.write("plugins/libnot_a_plugin.so", "no library");
    let plugins = house.chassis(&["plugins", "--json"]).json();
    assert_eq!(plugins["plugins"][0]["name"], "echo");
    assert_eq!(plugins["refused"][0]["kind"], "not_a_library");
    let instances = house.chassis(&["instances", "--json"]).json();
    assert_eq!(instances["instances"][0]["roles"], json!(["voice"]));
    let done = house.chassis(&["call", "echo", "echo", r#"{"value": "still"}"#]);
    assert_eq!(done.code, 0, "{done:?}");
}

#[test]
fn a_wrong_configuration_is_told_with_file_line_and_field_before_anything_runs() {
    for (config, message) in [
        (
            "[instances.echo]\nplugin = \"ecko\"\n",
            "t.toml:2: instances.echo.plugin: there is no plugin `ecko`",
        ),
        ("[instances.echo]\nplugin = \"ecko\"\n", "did you mean `echo`?"),
        (
            "[instances.echo]\nplugin = \"echo\"\n[instances.echo.config]\nprefx = \"x\"\n",
            "t.toml:4: instances.echo.config.prefx: unknown key; did you mean `prefix`?",
        ),
        (
            "[instances.echo]\nplugin = \"echo\"\nconfig = { down = 5 }\n",
            "t.toml:3: instances.echo.config.down: expected boolean, found a whole number",
        ),
        (
            "[instances.echo]\nplugin = \"echo\"\ncontract = \"cache\"\n",
            "t.toml:3: instances.echo.contract: the plugin `echo` does not implement the contract `cache`",
        ),
        ("[edge]\nlisen = \"x\"\n", "t.toml:2: edge.lisen: unknown key; did you mean `listen`?"),
        (
            "[edge]\nconnection_limit = 0\n",
            "t.toml:2: edge.connection_limit: 0 is not endless: it would let no request through; leave it out for the default",
        ),
        (
            "[edge]\nwrite_timeout = \"0s\"\n",
            "t.toml:2: edge.write_timeout: 0 is not endless: it would let no request through",
        ),
        (
            "[telemetry]\n\nlog = \"info,chassis=debgu\"\n",
            "t.toml:3: telemetry.log: `debgu` is no level of the log; did you mean `debug`?",
        ),
        (
            "[telemetry]\notlp_endpoint = \"localhost:4317\"\n",
            "t.toml:2: telemetry.otlp_endpoint: not the address of a collector; write http://host:port",
        ),
        (
            "[instances.echo]\nplugin = \"echo\"\n[instances.echo.config]\nprefix = \"a ${static:apy}\"\n[static.api]\nlisten = \"127.0.0.1:0\"\ndir = \".\"\n",
            "t.toml:4: instances.echo.config.prefix: there is no static server `apy`; did you mean `api`?",
        ),
        (
            "\nflows_dir = \"${static:api}\"\n[static.api]\nlisten = \"127.0.0.1:0\"\ndir = \".\"\n",
            "t.toml:2: flows_dir: the address of a static server is filled in only in the `config` of an instance",
        ),
    ] {
        let done = House::new(config).chassis(&["config", "check"]);
        assert_eq!(done.code, 3, "{done:?}");
        assert!(done.err.contains(message), "{message}\n{}", done.err);
    }
    let right = House::new(CONFIG).chassis(&["config", "check"]);
    assert_eq!(right.code, 0, "{right:?}");
    // What the environment says is as good a reason not to start.
    for (variable, value) in [("CHASSIS_LOG", "chassis=debgu"), ("OTEL_TRACES_SAMPLER", "sometimes")] {
        let house = House::new(CONFIG);
        let output = house.command().args(["config", "check"]).env(variable, value).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(3) && told.contains(variable), "{output:?}");
    }
}

#[test]
fn help_teaches_with_examples_and_tells_the_exit_codes() {
    let help = House::new(CONFIG).chassis(&["--help"]);
    for word in ["Examples:", "chassis call sessions set", "Exit codes:", "CHASSIS__EDGE__LISTEN"] {
        assert!(help.out.contains(word), "{word}\n{}", help.out);
    }
}

#[test]
fn runs_are_seen_whether_or_not_a_host_has_the_journal() {
    let house = House::new(CONFIG);
    let ran = house.chassis(&["--json", "flow", "run", "say", r#"{"text": "first"}"#]);
    let first = ran.json()["run_id"].as_str().unwrap().to_owned();
    let list = |house: &House| {
        let runs = house.chassis(&["--json", "runs", "list", "--flow", "say"]).json();
        runs["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["run_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(&house), [first.as_str()]);
    let running = house.run();
    // The host has the journal: it runs the flow, and is asked.
    let ran = house.chassis(&["--json", "flow", "run", "say", r#"{"text": "second"}"#]);
    assert_eq!((ran.code, &ran.json()["output"]["said"]), (0, &json!("> second")), "{ran:?}");
    let second = ran.json()["run_id"].as_str().unwrap().to_owned();
    assert_eq!(list(&house), [second.clone(), first.clone()]);
    let shown = house.chassis(&["runs", "show", &first]);
    for part in [first.as_str(), "completed", "voice.echo", "said"] {
        assert!(shown.out.contains(part), "{shown:?}");
    }
    let wrong = house.chassis(&["flow", "run", "say", "{}"]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.err.contains("text"), "{wrong:?}");
    assert_eq!(house.chassis(&["runs", "resume", &first]).code, 1);
    assert_eq!(house.chassis(&["runs", "show", "nothing"]).code, 1);
    let second_host = house.chassis(&["run"]);
    assert_eq!(second_host.code, 4, "{second_host:?}");
    assert!(second_host.err.contains(&running.address), "it names who has the journal: {second_host:?}");
    running.terminate();
    assert_eq!(running.wait().0.code(), Some(0));
    assert_eq!(list(&house), [second, first]);
}

#[test]
fn wrong_usage_is_json_where_json_is_asked_for() {
    let house = House::new(CONFIG);
    for wrong in [
        &["--json", "runs", "show"][..],
        &["--json", "runs", "list", "--since", "5x"],
        &["--json", "flow", "nope"],
    ] {
        let done = house.chassis(wrong);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{done:?}");
        let told: serde_json::Value = serde_json::from_str(&done.err).unwrap();
        assert_eq!(told["error"]["code"], "usage");
        assert!(told["error"]["message"].as_str().unwrap().contains("--help"), "{told}");
    }
    let plain = house.chassis(&["runs", "show"]);
    assert!(plain.code == 2 && plain.err.starts_with("error: "), "{plain:?}");
    assert_eq!(house.chassis(&["--json", "--help"]).code, 0);
}

#[test]
fn a_broken_journal_is_told_with_its_file() {
    let house = House::new("[journal]\nurl = \"sqlite:runs.db\"\n[instances.voice]\nplugin = \"echo\"\n");
    house.write("runs.db", &"no database, and long enough to be seen as none. ".repeat(100));
    let done = house.chassis(&["flow", "run", "say", r#"{"text":"x"}"#]);
    assert!(done.code == 3 && done.err.contains("runs.db: the journal file cannot be opened"), "{done:?}");
}

#[test]
fn who_is_no_host_is_told_from_one() {
    let house = House::new(CONFIG);
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in other.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"UP\"}");
        }
    });
    for command in [&["health", "--ready"][..], &["log", "show"], &["log", "set", "info"]] {
        let done = house.chassis(&[command, &["--at", &address][..]].concat());
        assert!(done.code == 4 && done.err.contains(&format!("{address} is no host of chassis")), "{done:?}");
    }
}

#[test]
fn a_flow_is_checked_by_name_as_by_file() {
    let house = House::new(CONFIG);
    for which in ["say", "flows/say.toml"] {
        let done = house.chassis(&["flow", "check", which]);
        assert_eq!((done.code, done.out.as_str()), (0, "say is right\n"), "{done:?}");
    }
    // A draft may have any name, as long as it is a file.
    std::fs::copy(house.path("flows/say.toml"), house.path("draft")).unwrap();
    let done = house.chassis(&["flow", "check", "draft"]);
    assert_eq!((done.code, done.out.as_str()), (0, "draft is right\n"), "{done:?}");
    let unknown = house.chassis(&["flow", "check", "sya", "nothing"]);
    assert_eq!(unknown.code, 3, "{unknown:?}");
    for told in ["there is no flow `sya`; did you mean `say`?", "there is no flow `nothing`"] {
        assert!(unknown.err.contains(told), "{unknown:?}");
    }
}
