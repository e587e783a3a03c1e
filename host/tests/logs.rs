//! The log of a host as a process: the line of a failed call, how many there are when a backend is down, and which ones are wanted.

#![allow(clippy::unwrap_used)]

mod process_support;

use process_support::{House, Running};
use serde_json::{Value, json};

const HOST: &str = "[journal]\nurl = \"memory\"\n[fault_injection]\nenabled = true\n[roles]\nvoice = \"echo\"\n\
    [instances.echo]\nplugin = \"echo\"\n[instances.echo.policy]\nretry = \"off\"\nbreaker = \"off\"\n\
    [instances.full]\nplugin = \"echo\"\n[instances.full.policy]\nbulkhead = 1\n";

fn host() -> (House, Running) {
    let house = House::new(HOST);
    let host = house.run();
    (house, host)
}

/// A call that fails, as its problem.
fn fails(host: &Running, operation: &str, input: &Value) -> Value {
    let path = format!("/v1/instances/echo/{operation}");
    let (status, body) = host.request("POST", &path, &input.to_string()).unwrap();
    assert!(status >= 400, "{status} {body}");
    serde_json::from_str(&body).unwrap()
}

fn break_it(host: &Running) {
    let fault = json!({ "instance": "echo", "operation": "echo", "kind": "error", "code": "unavailable", "message": "gone" });
    assert_eq!(host.request("POST", "/v1/faults", &fault.to_string()).unwrap().0, 200);
}

/// Everything that it wrote, as what it is: one JSON object a line.
fn ended(host: Running) -> Vec<Value> {
    host.terminate();
    let (_, log) = host.wait();
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn of_trace<'a>(lines: &'a [Value], problem: &Value) -> Vec<&'a Value> {
    assert!(problem["trace_id"].is_string());
    lines.iter().filter(|line| line["trace_id"] == problem["trace_id"]).collect()
}

#[test]
fn a_failed_call_is_found_by_its_trace() {
    let (_house, host) = host();
    break_it(&host);
    let problem = fails(&host, "echo", &json!({ "value": 1 }));
    let (_, trace) =
        host.request("GET", &format!("/v1/traces/{}", problem["trace_id"].as_str().unwrap()), "").unwrap();
    let trace: Value = serde_json::from_str(&trace).unwrap();
    // The caller's own fault is nobody's business, until somebody looks.
    let unseen = fails(&host, "sleep", &json!({ "mss": 1 }));
    let (status, _) = host.request("PUT", "/v1/log", r#"{"filter":"info,chassis::call=debug"}"#).unwrap();
    assert_eq!(status, 200);
    let seen = fails(&host, "sleep", &json!({ "mss": 1 }));

    let lines = ended(host);
    let found = of_trace(&lines, &problem);
    assert_eq!(found.len(), 1, "{found:?}");
    let line = found[0];
    for (field, value) in [
        ("level", "warn"),
        ("target", "chassis::call"),
        ("message", "call failed"),
        ("instance", "echo"),
        ("operation", "echo"),
        ("code", "unavailable"),
        ("error", "gone"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    let span =
        trace["spans"].as_array().unwrap().iter().find(|span| span["span_id"] == line["span_id"]).unwrap();
    assert_eq!(span["attributes"]["chassis.operation"], "echo", "it is the call's own span");
    assert_eq!(of_trace(&lines, &unseen), Vec::<&Value>::new());
    let found = of_trace(&lines, &seen);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["level"], &found[0]["code"]), (&json!("debug"), &json!("invalid_argument")));
}

#[test]
fn a_backend_that_is_down_is_told_of_by_a_few_lines() {
    let (_house, host) = host();
    break_it(&host);
    for n in 0..200 {
        fails(&host, "echo", &json!({ "value": n }));
    }
    let (_, metrics) = host.request("GET", "/metrics", "").unwrap();
    assert!(metrics.contains("chassis_log_lines_suppressed_total{name=\"full\"} 0\n"), "{metrics}");
    let counted = metrics
        .lines()
        .find_map(|line| line.strip_prefix("chassis_log_lines_suppressed_total{name=\"echo\"} "));
    let counted: usize = counted.unwrap().parse().unwrap();
    let lines = ended(host);
    let calls: Vec<&Value> = lines.iter().filter(|line| line["target"] == "chassis::call").collect();
    let (single, sums): (Vec<&Value>, Vec<&Value>) =
        calls.iter().copied().partition(|line| line["message"] == "call failed");
    // A slow machine may begin another period, and write a summary more.
    assert!(
        !single.is_empty() && single.len() + counted == 200,
        "{} lines, {counted} held back",
        single.len()
    );
    assert!(calls.len() < 20, "{} lines of 200 failures", calls.len());
    let told: u64 = sums.iter().map(|sum| sum["count"].as_u64().unwrap()).sum();
    assert_eq!(told as usize, counted, "what has no line is in a summary: {sums:?}");
    for sum in sums {
        assert_eq!((&sum["level"], &sum["instance"]), (&json!("warn"), &json!("echo")));
        assert_eq!(sum["codes"]["unavailable"], sum["count"]);
        assert_eq!(sum["last_trace_id"].as_str().unwrap().len(), 32, "{sum}");
    }
}

#[test]
fn levels_are_shown_and_changed_while_it_runs() {
    let (house, host) = host();
    let at = host.address.clone();
    let shown = house.chassis(&["log", "show", "--at", &at]);
    assert_eq!((shown.code, shown.out.as_str()), (0, "info  (from telemetry.log)\n"), "{shown:?}");
    let set = house.chassis(&["log", "set", "warn,chassis::call=debug", "--at", &at, "--json"]);
    assert_eq!(set.json(), json!({ "filter": "warn,chassis::call=debug", "source": "request" }));
    let shown = house.chassis(&["log", "show", "--at", &at]);
    assert_eq!(shown.out, "warn,chassis::call=debug  (set at run time)\n");
    let wrong = house.chassis(&["log", "set", "debgu", "--at", &at]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.err.contains("`debgu` is no level; did you mean `debug`?"), "{wrong:?}");
    let (status, body) = host.request("PUT", "/v1/log", r#"{"filtr":"info"}"#).unwrap();
    assert!(status == 400 && body.contains("filtr"), "{status} {body}");
    let (status, body) = host.request("PUT", "/v1/log", r#"{"filter":"info,x=loud"}"#).unwrap();
    assert!(status == 400 && body.contains("\"field\":\"filter\""), "{status} {body}");
    assert_eq!(
        house.chassis(&["log", "show", "--at", &at]).out,
        "warn,chassis::call=debug  (set at run time)\n"
    );
    let lines = ended(host);
    assert!(!lines.iter().any(|line| line["message"] == "drained"), "no `info` line after the change");
    let none = house.chassis(&["log", "show", "--at", "127.0.0.1:1"]);
    assert_eq!(none.code, 4, "{none:?}");
}
