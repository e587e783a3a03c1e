//! What the edge says of itself: every page is there, and the description is true.
#![allow(clippy::unwrap_used)]

mod edge_support;

use chassis::edge::Settings;
use edge_support::start;
use serde_json::{Value, json};

const PAGES: &[(&str, &str)] = &[
    ("/v1/plugins", "application/json"),
    ("/v1/instances", "application/json"),
    ("/v1/flows", "application/json"),
    ("/v1/runs", "application/json"),
    ("/v1/log", "application/json"),
    ("/v1/traces", "application/json"),
    ("/health", "application/json"),
    ("/health/live", "application/json"),
    ("/health/ready", "application/json"),
    ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
    ("/openapi.json", "application/json"),
    ("/docs", "text/html; charset=utf-8"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_there_and_has_a_trace() {
    let edge = start(Settings::default()).await;
    for (page, kind) in PAGES {
        let answer = edge.get(page).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, *kind), "{page}");
        answer.trace_id();
        let head = edge.send("HEAD", page, &[], b"").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{page}");
    }
    let root = edge.get("/").await;
    assert_eq!((root.status, root.header("location")), (307, "/docs"));
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_flows_and_health_are_listed() {
    let edge = start(Settings::default()).await;
    let instances = edge.get("/v1/instances").await.json();
    let echo = &instances["instances"][0];
    assert_eq!((&echo["name"], &echo["plugin"]), (&json!("echo"), &json!("echo")));
    assert!(echo["operations"].as_array().unwrap().iter().any(|operation| operation["name"] == "count"));
    let flows = edge.get("/v1/flows").await.json();
    let say = flows["flows"].as_array().unwrap().iter().find(|flow| flow["name"] == "say").unwrap();
    assert_eq!(say["steps"], json!([{ "name": "said", "role": "voice", "operation": "echo" }]));
    assert_eq!(say["input"]["required"], json!(["text"]));
    let health = edge.get("/health").await.json();
    assert_eq!(health, json!({ "status": "ok", "instances": [{ "name": "echo", "state": "ok" }] }));
    edge.edge.set_ready(false);
    assert_eq!(edge.get("/health").await.json()["status"], "not_ready");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_measured_by_route_and_not_by_path() {
    let edge = start(Settings::default()).await;
    edge.call("echo", r#"{"value":1}"#).await;
    edge.call("panic", "{}").await;
    edge.get("/no/such/path/4711").await;
    let metrics = String::from_utf8(edge.get("/metrics").await.body.to_vec()).unwrap();
    let counted: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("http_server_request_duration_seconds_count"))
        .collect();
    let has = |parts: &[&str]| counted.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    let route = "http_route=\"/v1/instances/{instance}/{operation}\"";
    assert!(
        has(&["http_request_method=\"POST\"", route, "http_response_status_code=\"200\""]),
        "{counted:#?}"
    );
    assert!(has(&[
        "http_request_method=\"POST\"",
        route,
        "http_response_status_code=\"500\"",
        "error_type=\"500\""
    ]));
    assert!(has(&["http_request_method=\"GET\"", "http_response_status_code=\"404\""]), "{counted:#?}");
    assert!(!metrics.contains("4711"));
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_openapi_and_lists_every_operation() {
    let edge = start(Settings::default()).await;
    let answer = edge.get("/openapi.json").await;
    let document = answer.json();
    let parsed =
        oas3::from_json(std::str::from_utf8(&answer.body).unwrap()).expect("an OpenAPI 3.1 document");
    parsed.validate_version().expect("version 3.1");
    let paths = parsed.paths.expect("paths");
    let instances = edge.get("/v1/instances").await.json();
    let operations = instances["instances"][0]["operations"].as_array().unwrap();
    assert!(operations.len() >= 9, "{operations:?}");
    for operation in operations {
        let path = format!("/v1/instances/echo/{}", operation["name"].as_str().unwrap());
        let described =
            paths.get(&path).and_then(|item| item.post.as_ref()).unwrap_or_else(|| panic!("no {path}"));
        assert_eq!(described.summary.as_deref(), operation["summary"].as_str());
    }
    assert!(paths.get("/v1/flows/say").is_some_and(|item| item.post.is_some()));
    // Every page is described, and nothing else than what answers.
    for (page, _) in PAGES {
        assert!(paths.get(*page).is_some_and(|item| item.get.is_some()), "{page}");
    }
    for (path, item) in &paths {
        if item.get.is_some() && !path.contains('{') {
            // Faults are off here, as on any host that is not told otherwise.
            let expected = if path == "/v1/faults" { 403 } else { 200 };
            assert_eq!(edge.get(path).await.status, expected, "{path}");
        }
    }
    let mut ids: Vec<_> =
        paths.values().flat_map(|item| item.methods()).map(|(_, op)| op.operation_id.clone()).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "operation ids are unique");
    references(&document, &document);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn described_schemas_are_schemas_and_fit_what_is_sent() {
    let edge = start(Settings::default()).await;
    let document = edge.get("/openapi.json").await.json();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}: {schema}");
    }
    let validator = |pointer: &str| {
        let mut schema = document.clone();
        schema["$ref"] = json!(format!("#{pointer}"));
        jsonschema::draft202012::new(&schema).unwrap()
    };
    let input = validator("/components/schemas/echo.sleep.input");
    assert!(input.is_valid(&json!({ "ms": 1 })));
    assert!(!input.is_valid(&json!({ "ms": "long" })) && !input.is_valid(&json!({ "ms": 1, "more": 2 })));
    let problem = edge.call("nothing", "{}").await.problem(404, "unimplemented");
    let errors: Vec<_> =
        validator("/components/schemas/Problem").iter_errors(&problem).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let line = "/paths/~1v1~1instances~1echo~1count/post/responses/200/content/application~1x-ndjson/schema";
    let line = validator(line);
    for sent in edge.call("count", r#"{"to": 2, "fail": true}"#).await.lines() {
        assert!(line.is_valid(&sent), "{sent}");
    }
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_needs_nothing_from_elsewhere() {
    let edge = start(Settings::default()).await;
    let answer = edge.get("/docs").await;
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
    let html = String::from_utf8(answer.body.to_vec()).unwrap();
    for loading in ["<script", "<link", "<img", "<iframe", "src=", "@import", "url("] {
        assert!(!html.contains(loading), "{loading}");
    }
    for link in html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        match link.strip_prefix('#') {
            Some(anchor) => assert!(
                html.contains(&format!("id=\"{anchor}\"")) || html.contains(&format!("id={anchor}>")),
                "{link} leads nowhere"
            ),
            None => assert_eq!(edge.get(link).await.status, 200, "{link}"),
        }
    }
    for shown in ["echo.count", "flow.say", "X-Request-Timeout", "id=\"unavailable\"", "application/x-ndjson"]
    {
        assert!(html.contains(shown), "{shown}");
    }
    edge.stop().await;
}

/// Every reference leads somewhere.
fn references(document: &Value, value: &Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(target)) = object.get("$ref") {
                let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} leads elsewhere"));
                assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
            }
            object.values().for_each(|value| references(document, value));
        }
        Value::Array(items) => items.iter().for_each(|value| references(document, value)),
        _ => {}
    }
}
