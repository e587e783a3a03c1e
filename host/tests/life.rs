//! A host from its start to its end, as the operating system sees it.

mod process_support;

use process_support::{House, request};
use serde_json::Value;
use std::time::{Duration, Instant};

const CONFIG: &str =
    "[instances.echo]\nplugin = \"echo\"\n[instances.second]\nplugin = \"echo\"\n[roles]\nvoice = \"echo\"\n";

#[test]
fn the_start_says_what_it_does_with_times() {
    let house = House::new(CONFIG);
    let running = house.run();
    let (status, _) = running.request("GET", "/health/ready", "").unwrap();
    assert_eq!(status, 200);
    running.terminate();
    let (status, log) = running.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |message: &str| {
        lines
            .iter()
            .find(|line| line["message"] == message)
            .unwrap_or_else(|| panic!("no `{message}`:\n{log}"))
    };
    assert!(find("plugin loaded")["ms"].as_f64().unwrap() > 0.0);
    assert_eq!(find("plugins ready")["loaded"], 1);
    assert!(find("instance made")["ms"].is_number());
    assert_eq!(find("ready")["instances"], 2);
    assert_eq!(find("draining: not ready, no new calls")["signal"], "SIGTERM");
    assert!(find("drained")["ms"].is_number());
}

#[test]
fn a_call_in_flight_ends_before_the_host_does_and_no_new_one_begins() {
    let house = House::new(CONFIG);
    let running = house.run();
    let address = running.address.clone();
    let in_flight =
        std::thread::spawn(move || request(&address, "POST", "/v1/instances/echo/sleep", r#"{"ms": 1500}"#));
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    running.terminate();
    std::thread::sleep(Duration::from_millis(300));
    assert!(running.request("GET", "/health/live", "").is_err(), "a new connection is taken while draining");
    let (status, body) = in_flight.join().unwrap().unwrap();
    assert_eq!(status, 200, "{body}");
    let (exit, log) = running.wait();
    assert_eq!(exit.code(), Some(0), "{log}");
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}

#[test]
fn a_call_that_does_not_end_is_cancelled_when_the_drain_is_over() {
    let config = format!(
        "{CONFIG}[shutdown]\ndrain = \"400ms\"\n[instances.echo.policy]\nattempt_timeout = \"60s\"\ndeadline = \"60s\"\n"
    );
    let house = House::new(&config);
    let running = house.run();
    let address = running.address.clone();
    let in_flight =
        std::thread::spawn(move || request(&address, "POST", "/v1/instances/echo/sleep", r#"{"ms": 50000}"#));
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    running.terminate();
    let (exit, log) = running.wait();
    assert_eq!(exit.code(), Some(0), "{log}");
    assert!(log.contains("the drain took too long"), "{log}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let answer = in_flight.join().unwrap();
    assert!(answer.is_err() || answer.is_ok_and(|(status, _)| status != 200));
}

#[test]
fn a_health_check_asks_whether_the_host_takes_calls_whatever_its_instances_say() {
    let house = House::new(
        "[instances.echo]\nplugin = \"echo\"\nconfig = { down = true }\n[roles]\nvoice = \"echo\"\n",
    );
    let running = house.run();
    let address = running.address.clone();
    let check = || house.chassis(&["health", "--ready", "--json", "--at", &address]);
    let done = check();
    assert_eq!((done.code, done.json()["status"].as_str()), (0, Some("ready")), "{done:?}");
    assert_eq!(house.chassis(&["health"]).code, 4, "its instance is down");
    running.terminate();
    running.wait();
    let done = check();
    assert_eq!(done.code, 4, "{done:?}");
}

#[test]
fn a_backend_that_is_down_is_no_error_of_the_start() {
    let house = House::new(
        "[instances.echo]\nplugin = \"echo\"\nconfig = { down = true }\n[roles]\nvoice = \"echo\"\n",
    );
    let running = house.run();
    let begun = Instant::now();
    let health = loop {
        let (_, body) = running.request("GET", "/health", "").unwrap();
        let health: Value = serde_json::from_str(&body).unwrap();
        if health["instances"][0]["state"] != "starting" || begun.elapsed() > Duration::from_secs(5) {
            break health;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(health["instances"][0]["state"], "unavailable", "{health}");
    assert_eq!(health["instances"][0]["last_error"]["code"], "unavailable", "{health}");
    assert!(health["instances"][0]["since"].as_str().unwrap().ends_with('Z'), "{health}");
    running.terminate();
    assert_eq!(running.wait().0.code(), Some(0));
}

#[test]
fn an_address_that_is_taken_is_told_with_what_to_do() {
    let house = House::new(CONFIG);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = house.chassis(&["run", "--listen", &address]);
    assert_eq!(done.code, 4, "{done:?}");
    assert!(done.err.contains(&address) && done.err.contains("choose another address"), "{done:?}");
}

#[test]
fn a_journal_that_was_moved_away_takes_no_run_until_it_is_back() {
    let house = House::new(&format!("[journal]\nurl = \"sqlite:runs.db\"\n{CONFIG}"));
    let running = house.run();
    // What only reads waits for no write, unless it has a key.
    let mut count = 0;
    let mut keep = || {
        count += 1;
        let key = format!("key-{count}");
        running
            .request_with("POST", "/v1/flows/say", &[("idempotency-key", &key)], r#"{"text":"x"}"#)
            .unwrap()
    };
    assert_eq!(keep().0, 200);
    std::fs::rename(house.path("runs.db"), house.path("away.db")).unwrap();
    let (status, told) = keep();
    assert!(
        status == 503 && told.contains("runs.db was moved or deleted under this host"),
        "{status}: {told}"
    );
    let (status, told) = running.request("GET", "/health/ready", "").unwrap();
    assert!(status == 503 && told.contains("runs.db was moved"), "{status}: {told}");
    std::fs::rename(house.path("away.db"), house.path("runs.db")).unwrap();
    let begun = Instant::now();
    while keep().0 != 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", keep());
        std::thread::sleep(Duration::from_millis(50));
    }
    // Whoever ends without it leaves the last runs in its log alone, and the next host does not make a new journal over them.
    std::fs::rename(house.path("runs.db"), house.path("away.db")).unwrap();
    running.terminate();
    running.wait();
    let refused = house.chassis(&["run"]);
    assert!(refused.code == 3 && refused.err.contains("runs.db-wal has runs of it"), "{refused:?}");
    std::fs::rename(house.path("away.db"), house.path("runs.db")).unwrap();
    let runs = house.chassis(&["runs", "list", "--json"]).json();
    assert!(runs["runs"].as_array().is_some_and(|runs| runs.len() >= 2), "{runs}");
}
