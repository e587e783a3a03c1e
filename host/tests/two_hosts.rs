//! Two hosts, two processes, one journal in Postgres: what one leaves, by death or by standing still, the other finishes.

#![allow(clippy::unwrap_used)]

mod journal_support;
mod process_support;

use process_support::{House, Running};
use serde_json::Value;
use std::time::{Duration, Instant};

const SLOW: &str = "[steps.first]\ncall = \"voice.echo\"\ninput = { value = \"1\" }\nundo = \"none\"\n\
    [steps.wait]\ncall = \"voice.sleep\"\ninput = { ms = 1500 }\nafter = [\"first\"]\nundo = \"none\"\n\
    [steps.last]\ncall = \"voice.echo\"\ninput = { value = \"2\" }\nafter = [\"wait\"]\nundo = \"none\"\n\
    [output]\nsaid = \"${steps.last.output.value}\"\n";
const RUNS: usize = 12;

/// A house with the journal at this address; `None` without a server.
fn house(test: &str) -> Option<House> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = runtime.block_on(journal_support::schema(test))?;
    let config = format!(
        "[instances.echo]\nplugin = \"echo\"\n[roles]\nvoice = \"echo\"\n[journal]\nurl = \"{url}\"\n"
    );
    let house = House::new(&config);
    house.write("flows/slow.toml", SLOW);
    Some(house)
}

fn json(host: &Running, method: &str, path: &str, body: &str) -> Value {
    let (status, answer) = host.request(method, path, body).unwrap();
    assert!(status < 300, "{method} {path}: {status} {answer}");
    serde_json::from_str(&answer).unwrap()
}

/// Starts runs, of which nobody waits for the end, and answers when all are on their way.
fn begin(host: &Running) {
    for _ in 0..RUNS {
        let started =
            host.request_with("POST", "/v1/flows/slow", &[("prefer", "respond-async")], "{}").unwrap();
        assert_eq!(started.0, 202, "{started:?}");
    }
}

fn runs(host: &Running) -> Vec<Value> {
    json(host, "GET", "/v1/runs?flow=slow", "")["runs"].as_array().unwrap().clone()
}

/// Waits until every run has completed, as this host sees it.
fn wait_until_completed(host: &Running) {
    let begun = Instant::now();
    loop {
        let states: Vec<Value> = runs(host).iter().map(|run| run["state"].clone()).collect();
        if states.len() == RUNS && states.iter().all(|state| state == "completed") {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "{states:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_a_killed_host_leaves_another_finishes() {
    let Some(house) = house("what_a_killed_host_leaves_another_finishes") else { return };
    let (first, second) = (house.run(), house.run());
    begin(&first);
    first.signal("KILL");
    let killed = Instant::now();
    wait_until_completed(&second);
    println!("{RUNS} runs of a killed host finished {:.1} s after its death", killed.elapsed().as_secs_f64());
    first.wait();
    for run in runs(&second) {
        let shown = json(&second, "GET", &format!("/v1/runs/{}", run["run_id"].as_str().unwrap()), "");
        assert_eq!(
            (&shown["taken"], &shown["output"]["said"]),
            (&Value::from(1), &Value::from("2")),
            "{shown}"
        );
    }
    second.terminate();
    assert_eq!(second.wait().0.code(), Some(0));
}

#[test]
fn a_host_that_stood_still_notices_that_it_lost_its_runs() {
    let Some(house) = house("a_host_that_stood_still_notices_that_it_lost_its_runs") else { return };
    let (first, second) = (house.run(), house.run());
    begin(&first);
    first.signal("STOP");
    wait_until_completed(&second);
    let before: Vec<Value> = runs(&second);
    first.signal("CONT");
    // It is alive again, takes part, and has let go of what it lost.
    let started = json(&first, "POST", "/v1/flows/slow", "{}");
    assert_eq!(started["said"], "2");
    let after: Vec<Value> = runs(&second)
        .into_iter()
        .filter(|run| before.iter().any(|old| old["run_id"] == run["run_id"]))
        .collect();
    assert_eq!(after, before, "it wrote nothing into runs that it had lost");
    first.terminate();
    let (status, log) = first.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let lost = log.lines().filter(|line| line.contains("another host has taken the run")).count();
    assert_eq!(lost, RUNS, "{log}");
    second.terminate();
    assert_eq!(second.wait().0.code(), Some(0));
}

#[test]
fn a_host_that_ends_well_hands_its_runs_over_at_once() {
    let Some(house) = house("a_host_that_ends_well_hands_its_runs_over_at_once") else { return };
    house.write(
        "t.toml",
        &(std::fs::read_to_string(house.path("t.toml")).unwrap() + "[shutdown]\ndrain = \"200ms\"\n"),
    );
    let (first, second) = (house.run(), house.run());
    begin(&first);
    first.terminate();
    assert_eq!(first.wait().0.code(), Some(0));
    let ended = Instant::now();
    wait_until_completed(&second);
    println!(
        "{RUNS} runs of a host that ended well finished {:.1} s after its end",
        ended.elapsed().as_secs_f64()
    );
    second.terminate();
    assert_eq!(second.wait().0.code(), Some(0));
}
