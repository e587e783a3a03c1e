//! Faults on purpose, in a host as it is started: each kind does to a call what it says, and it is seen wherever one looks.

// Helpers of tests are not seen as tests, and fail by panicking as those do.
#![allow(clippy::unwrap_used)]

mod process_support;

use process_support::{House, Running};
use serde_json::{Value, json};

const CONFIG: &str = "[telemetry]\nlog_format = \"json\"\n[fault_injection]\nenabled = true\nseed = 7\n\
    [instances.echo]\nplugin = \"echo\"\n[instances.echo.policy]\nattempt_timeout = \"300ms\"\n[roles]\nvoice = \"echo\"\n";

fn set(host: &Running, fault: Value) -> Value {
    let (status, body) = host.request("POST", "/v1/faults", &fault.to_string()).unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

fn echo(host: &Running) -> (u16, Value) {
    let (status, body) = host.request("POST", "/v1/instances/echo/echo", r#"{"value": 1}"#).unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

#[test]
fn every_kind_does_what_it_says_and_is_seen() {
    let house = House::new(CONFIG);
    let host = house.run();
    assert_eq!(echo(&host).0, 200);
    let aimed = |mut fault: Value| {
        fault["name"] = json!("bad-day");
        fault["instance"] = json!("voice");
        set(&host, fault)
    };
    aimed(
        json!({ "kind": "error", "operation": "echo", "code": "failed_precondition", "message": "not today", "maybe_applied": true }),
    );
    let (status, problem) = echo(&host);
    assert_eq!((status, &problem["detail"]), (400, &json!("not today")), "{problem}");
    assert!(problem["code"] == "failed_precondition" && problem["maybe_applied"] == true, "{problem}");
    let trace = problem["trace_id"].as_str().unwrap().to_owned();
    for kind in ["timeout_before", "timeout_after"] {
        aimed(json!({ "kind": kind, "operation": "echo" }));
        let (status, problem) = echo(&host);
        assert_eq!((status, &problem["code"]), (504, &json!("deadline_exceeded")), "{kind}: {problem}");
    }
    aimed(json!({ "kind": "latency", "operation": "echo", "latency": "100ms" }));
    assert_eq!(echo(&host).0, 200);
    // A fault that is not for this operation, and one that is used up.
    aimed(json!({ "kind": "error", "operation": "sum" }));
    assert_eq!(echo(&host).0, 200);
    aimed(json!({ "kind": "panic", "operation": "echo", "nth": 1 }));
    let (status, problem) = echo(&host);
    assert_eq!((status, &problem["code"]), (500, &json!("internal")), "{problem}");
    let (_, shown) = host.request("GET", "/v1/faults", "").unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["faults"][0]["hits_left"], 0, "{shown}");
    assert_eq!(shown["faults"].as_array().unwrap().len(), 1, "each took the place of the one before");
    // The instance is made again, and nothing is left of the fault.
    let well = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        echo(&host).0 == 200
    });
    assert!(well, "the instance did not come back");

    let (_, spans) = host.request("GET", &format!("/v1/traces/{trace}"), "").unwrap();
    assert!(spans.contains(r#""chassis.fault":"bad-day""#), "{spans}");
    let (_, metrics) = host.request("GET", "/metrics", "").unwrap();
    for kind in ["error", "latency", "timeout_before", "timeout_after", "panic"] {
        let series = format!("chassis_faults_injected_total{{name=\"echo\",kind=\"{kind}\"}} 1");
        assert!(metrics.contains(&series), "no {series}");
    }
    host.terminate();
    let (_, log) = host.wait();
    assert!(
        log.lines().any(|line| line.contains("fault injected") && line.contains("timeout_after")),
        "{log}"
    );
}

#[test]
fn the_command_line_speaks_to_the_host_that_runs() {
    let house = House::new(&format!(
        "{CONFIG}[[faults]]\nname = \"slow\"\ninstance = \"echo\"\nkind = \"latency\"\nlatency = \"1ms\"\n"
    ));
    let host = house.run();
    let address = host.address.clone();
    let at = ["--at", address.as_str()];
    let fault = |words: &[&str]| house.chassis(&[&["fault"], words, &at].concat());
    let done =
        fault(&["set", "error", "--name", "x", "--instance", "echo", "--code", "aborted", "--first", "2"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(echo(&host).0, 409);
    let list = fault(&["list"]);
    assert!(list.out.contains("slow") && list.out.contains("first 2"), "{list:?}");
    let list = fault(&["list", "--json"]).json();
    let x = list["faults"].as_array().unwrap().iter().find(|fault| fault["name"] == "x").unwrap();
    assert_eq!((&x["hits"], &x["hits_left"]), (&json!(1), &json!(1)), "{list}");
    assert_eq!(fault(&["clear", "x"]).code, 0);
    assert_eq!(echo(&host).0, 200);
    let wrong = fault(&["set", "error", "--instance", "ecko"]);
    assert!(wrong.code == 1 && wrong.err.contains("did you mean `echo`?"), "{wrong:?}");
    let wrong = fault(&["set", "error", "--code", "tired"]);
    assert!(wrong.code == 2 && wrong.err.contains("unavailable"), "{wrong:?}");
    assert_eq!(fault(&["clear"]).out.trim(), "1 cleared");
    host.terminate();
    host.wait();
    let gone = fault(&["list"]);
    assert!(gone.code == 4 && gone.err.contains("does not answer"), "{gone:?}");
}

#[test]
fn a_host_that_does_not_allow_faults_has_none_and_says_so() {
    let config =
        format!("{}[[faults]]\ninstance = \"echo\"\n", CONFIG.replace("enabled = true", "enabled = false"));
    let house = House::new(&config);
    let host = house.run();
    assert_eq!(echo(&host).0, 200, "a fault of the configuration is in force");
    for (method, body) in [("GET", ""), ("POST", "{}"), ("DELETE", "")] {
        let (status, body) = host.request(method, "/v1/faults", body).unwrap();
        assert_eq!(status, 403, "{body}");
        assert!(body.contains("[fault_injection] enabled = true"), "{body}");
    }
    host.terminate();
    let (_, log) = host.wait();
    assert!(log.contains("the configured faults are off"), "{log}");
}

#[test]
fn a_wrong_fault_in_the_configuration_is_told_with_its_place() {
    let house = House::new(&format!("{CONFIG}[[faults]]\ninstance = \"echo\"\noperation = \"ecko\"\n"));
    let done = house.chassis(&["run"]);
    assert!(done.code == 3 && done.err.contains("faults[0]") && done.err.contains("echo"), "{done:?}");
    let house = House::new(&format!("{CONFIG}[[faults]]\ninstance = \"echo\"\nkind = \"tired\"\n"));
    let done = house.chassis(&["config", "check"]);
    assert!(
        done.code == 3 && done.err.contains("faults[0].kind") && done.err.contains("timeout_before"),
        "{done:?}"
    );
}
