//! `chassis trace` against a host as a process.

#![allow(clippy::unwrap_used)]

mod process_support;

use process_support::House;
use serde_json::{Value, json};

const HOST: &str = "[journal]\nurl = \"memory\"\n[roles]\nvoice = \"echo\"\n[instances.echo]\nplugin = \"echo\"\n\
    [instances.echo.policy]\nretry = \"off\"\n";

const UNKNOWN: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn a_trace_is_drawn_by_its_id_and_as_the_last_one() {
    let house = House::new(HOST);
    let host = house.run();
    let (_, body) = host.request("POST", "/v1/instances/echo/panic", "{}").unwrap();
    let failed: Value = serde_json::from_str(&body).unwrap();
    let id = failed["trace_id"].as_str().unwrap();
    let (status, _) = host.request("POST", "/v1/flows/say", r#"{"text":"x"}"#).unwrap();
    // The instance may be on its way back from its panic.
    assert!(status == 200 || status >= 500, "{status}");
    // To look at a host is nothing that one looks for.
    for path in ["/metrics", "/health", "/v1/traces"] {
        host.request("GET", path, "").unwrap();
    }
    // Nor is it to set something in it.
    host.request("PUT", "/v1/log", r#"{"filter":"info"}"#).unwrap();
    host.request("DELETE", "/v1/faults", "").unwrap();
    let trace = |args: &[&str]| house.chassis(&[&["trace"], args, &["--at", &host.address]].concat());

    let drawn = trace(&[id]);
    assert_eq!(drawn.code, 0, "{drawn:?}");
    assert!(drawn.out.starts_with(&format!("trace {id}  2 spans, from the host's memory\n")), "{drawn:?}");
    for part in ["✗ POST /v1/instances/{instance}/{operation}", "└─ ✗ echo panic", "▒", "✗ echo panic: "]
    {
        assert!(drawn.out.contains(part), "{part}: {drawn:?}");
    }
    // It was typed off a screen.
    assert_eq!(trace(&[&id.to_uppercase()]).out, drawn.out);

    let last = trace(&["last"]);
    assert!(last.out.contains("POST /v1/flows/{flow}") && last.out.contains("step said"), "{last:?}");
    let document = trace(&["last", "--json"]).json();
    let spans = document["spans"].as_array().unwrap();
    assert!(spans.iter().any(|span| span["name"] == "flow say"), "{document}");
    assert_eq!(document["trace_id"].as_str().unwrap().len(), 32);
}

#[test]
fn what_cannot_be_drawn_is_told_with_what_to_do() {
    let house = House::new(HOST);
    let host = house.run();
    let told = |args: &[&str], code: i32, parts: &[&str]| {
        let done = house.chassis(&[&["trace"], args].concat());
        assert_eq!(done.code, code, "{done:?}");
        parts.iter().for_each(|part| assert!(done.err.contains(part), "{part}: {done:?}"));
    };
    let at = &["--at", &host.address][..];
    told(&[&["last"], at].concat(), 1, &["no trace is in memory yet: call something", "--jaeger http://"]);
    told(&[&[UNKNOWN], at].concat(), 1, &["not_found", UNKNOWN, "not sampled", "--jaeger http://"]);
    told(&[&["nonsense"], at].concat(), 2, &["`nonsense` is no trace's id", "X-Trace-Id"]);
    told(
        &["last", "--at", "127.0.0.1:1"],
        4,
        &["the host on 127.0.0.1:1 does not answer", "--jaeger http://"],
    );
    told(
        &["last", "--at", "127.0.0.1:1", "--jaeger", "http://127.0.0.1:1"],
        4,
        &["Jaeger on 127.0.0.1:1 does not answer"],
    );
    told(&["last", "--jaeger", "https://jaeger"], 2, &["CHASSIS_JAEGER_URL", "http://127.0.0.1:16686"]);

    let blind = house.run_with(&[("OTEL_TRACES_SAMPLER", "always_off")]);
    let (_, body) = blind.request("POST", "/v1/flows/say", r#"{"text":"x"}"#).unwrap();
    assert_eq!(body, json!({ "said": "x" }).to_string());
    told(&["last", "--at", &blind.address], 1, &["records no trace", "OTEL_TRACES_SAMPLER"]);
}
