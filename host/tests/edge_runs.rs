//! Runs over HTTP: keys that are sent again, runs that are looked at, and stuck ones that are helped.
#![allow(clippy::unwrap_used)]

mod edge_support;

use chassis::edge::Settings;
use edge_support::{Running, start};
use serde_json::json;

const SAY: &str = "/v1/flows/say";

async fn say(edge: &Running, headers: &[(&str, &str)], text: &str) -> edge_support::Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    edge.send("POST", SAY, &headers, json!({ "text": text }).to_string().as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_sent_again_is_answered_again_and_not_run() {
    let edge = start(Settings::default()).await;
    let key = [("idempotency-key", "\"k-1\"")];
    let first = say(&edge, &key, "a").await;
    assert_eq!((first.status, first.headers.contains_key("idempotent-replayed")), (200, false), "{first:?}");
    let again = say(&edge, &key, "a").await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    assert_eq!(again.header("x-chassis-run"), first.header("x-chassis-run"));
    assert_eq!(again.header("idempotent-replayed"), "true");
    let other = say(&edge, &key, "b").await;
    assert_eq!(other.status, 422);
    let problem = other.json();
    assert_eq!(
        (&problem["type"], &problem["code"], &problem["field"], &problem["policy"]),
        (
            &json!("/docs#idempotency_key_reused"),
            &json!("invalid_argument"),
            &json!("idempotency-key"),
            &json!("idempotency")
        )
    );
    assert!(problem["detail"].as_str().unwrap().contains(first.header("x-chassis-run")), "{problem}");
    let tenant = say(&edge, &[key[0], ("x-tenant", "acme")], "b").await;
    assert_eq!(tenant.status, 200, "another tenant's key is another key");
    let runs = edge.get("/v1/runs").await.json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 2, "{runs}");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_is_told_where_to_look() {
    let edge = start(Settings::default()).await;
    let accepted = say(&edge, &[("prefer", "respond-async")], "later").await;
    assert_eq!(accepted.status, 202);
    let place = accepted.header("location").to_owned();
    assert_eq!(place, format!("/v1/runs/{}", accepted.header("x-chassis-run")));
    edge_support::eventually("it completes", || async {
        edge.get(&place).await.json()["state"] == "completed"
    })
    .await;
    let run = edge.get(&place).await.json();
    assert_eq!(run["output"]["said"], "later");
    assert_eq!(run["steps"][0]["name"], "said");
    assert_eq!((&run["steps"][0]["attempts"], run["steps"][0]["ms"].is_number()), (&json!(1), true), "{run}");
    assert!(run["trace_id"].as_str().is_some_and(|id| id.len() == 32), "{run}");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_run_is_found_and_helped() {
    let edge = start(Settings::default()).await;
    let failed = edge.post("/v1/flows/jam", "{}").await.problem(500, "internal");
    assert_eq!(
        (&failed["run"]["state"], &failed["maybe_applied"]),
        (&json!("stuck"), &json!(true)),
        "{failed}"
    );
    say(&edge, &[], "fine").await;
    let stuck = edge.get("/v1/runs?state=stuck&flow=jam&since=1h").await.json();
    assert_eq!(stuck["runs"].as_array().unwrap().len(), 1, "{stuck}");
    let id = stuck["runs"][0]["run_id"].as_str().unwrap().to_owned();
    assert_eq!(failed["run"]["id"], id.as_str());
    let path = |what: &str| format!("/v1/runs/{id}{what}");
    edge.post(&path("/skip"), r#"{"step": "broken"}"#).await.problem(400, "invalid_argument");
    edge.post(&path("/skip"), r#"{"stp": "said"}"#).await.problem(400, "invalid_argument");
    edge.post(&path("/cancel"), "").await.problem(400, "failed_precondition");
    assert_eq!(edge.post(&path("/resume"), "").await.status, 200);
    edge_support::eventually("stuck again", || async {
        edge.get(&path("")).await.json()["state"] == "stuck"
    })
    .await;
    assert_eq!(edge.post(&path("/skip"), "").await.status, 200);
    edge_support::eventually("undone", || async { edge.get(&path("")).await.json()["state"] == "undone" })
        .await;
    let run = edge.get(&path("")).await.json();
    assert_eq!(run["steps"][0]["state"], "undo_skipped", "{run}");
    edge.post(&path("/resume"), "").await.problem(400, "failed_precondition");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_come_by_page_and_wrong_questions_are_told() {
    let edge = start(Settings::default()).await;
    for at in 0..5 {
        say(&edge, &[("idempotency-key", &at.to_string())], "x").await;
    }
    let (mut path, mut seen) = ("/v1/runs?limit=2".to_owned(), Vec::new());
    loop {
        let page = edge.get(&path).await.json();
        seen.extend(
            page["runs"].as_array().unwrap().iter().map(|run| run["key"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/runs?limit=2&before={next}");
    }
    assert_eq!(seen, ["4", "3", "2", "1", "0"]);
    let problem = edge.get("/v1/runs?state=stuk").await.problem(400, "invalid_argument");
    assert_eq!((&problem["field"], &problem["nearest"]), (&json!("state"), &json!("stuck")));
    edge.get("/v1/runs?sinc=1h").await.problem(400, "invalid_argument");
    edge.get("/v1/runs/nothing").await.problem(404, "not_found");
    edge.stop().await;
}
