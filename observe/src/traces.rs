//! Every shipped flow on the six real servers, and each one's trace read back from Jaeger.

use crate::ask::{Answer, Asking, new_user};
use crate::load::user_id;
use crate::stack::{Options, Stack};
use crate::tree::{self, Expected};
use anyhow::{Context, Result, ensure};
use chassis_faults::host::Host;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Traces that were read.
    pub traces: usize,
    /// What is wrong with them; a line each.
    pub defects: Vec<String>,
    /// Instances for which Service Performance Monitoring has data.
    pub spm_instances: usize,
}

/// How long a trace may take from the answer to Jaeger's.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the figures of Service Performance Monitoring may take: they are scraped, and rates need two.
const SPM: Duration = Duration::from_secs(90);

/// One operation, and what its trace must show.
struct Case {
    name: &'static str,
    answer: Answer,
    expected: Expected,
}

/// Runs it.
pub async fn run() -> Result<Found> {
    let stack = Stack::start(&Options { shorten: 5, ..Options::default() }).await?;
    let host = stack.host().await?;
    let asking = Asking::new(&host)?;
    let mut found = Found::default();
    let mut operations: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let cases = play(&host, &asking).await?;
    all_flows_are_there(&asking, &cases).await?;
    for mut case in cases {
        if let Some(run) = &case.answer.run {
            case.expected.run = asking.run(run).await?;
        }
        case.expected.status = case.answer.status;
        let spans = stack.jaeger.trace(&case.answer.trace, PATIENCE).await.with_context(|| case.name)?;
        for span in &spans {
            if let Some(instance) = span.attributes.get("chassis.instance") {
                operations.entry(instance.clone()).or_default().insert(span.name.clone());
            }
        }
        found.traces += 1;
        let defects = tree::defects(&spans, &case.expected);
        found.defects.extend(
            defects
                .into_iter()
                .map(|defect| format!("{} (trace {}): {defect}", case.name, case.answer.trace)),
        );
        if case.expected.processes {
            linked(&stack, &spans, &mut found.defects).await?;
        }
    }
    ensure!(operations.len() == 6, "the flows used {:?}", operations.keys());
    found.spm_instances = monitored(&stack, &asking, &operations).await?;
    host.stop().await?;
    Ok(found)
}

/// Every shipped flow, once well and, where it has one, on its other ways.
async fn play(host: &Host, asking: &Asking) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut add = |name, answer: &Answer, expected| {
        cases.push(Case { name, answer: answer.clone(), expected });
    };
    let plain = Expected::default;
    // What others left there was sent in traces that this Jaeger never had.
    asking.call("rabbitmq", "purge", &json!({ "queue": "welcome_messages" })).await?;
    let created = asking.completed("create-user", &new_user()).await?;
    let id = json!({ "id": user_id(&created.body) });
    add("create-user", &created, plain());
    add("get-user from the cache", &asking.completed("get-user", &id).await?, plain());
    let forgotten =
        asking.call("redis", "delete", &json!({ "key": format!("user_session:{}", id["id"]) })).await?;
    add("a plain call", &forgotten, plain());
    add("get-user from the database", &asking.completed("get-user", &id).await?, plain());
    add(
        "update-user",
        &asking.completed("update-user", &merged(&id, json!({ "bio": "new" }))).await?,
        plain(),
    );
    add("search-users", &asking.completed("search-users", &json!({ "text": "observed" })).await?, plain());
    let welcomed = asking.completed("process-welcome", &json!({ "wait_ms": 2000 })).await?;
    add("process-welcome", &welcomed, Expected { processes: true, ..plain() });
    add("api-health", &asking.completed("api-health", &json!({})).await?, plain());
    add("api-status", &asking.completed("api-status", &json!({})).await?, plain());
    add("setup", &asking.completed("setup", &json!({})).await?, plain());
    add("delete-user", &asking.completed("delete-user", &id).await?, plain());
    add("get-user of nobody", &asking.flow("get-user", &json!({ "id": 2_000_000_000 })).await?, plain());

    let fault = json!({ "name": "gone", "kind": "error", "code": "failed_precondition", "instance": "elasticsearch",
        "operation": "index" });
    host.fault(&fault).await?;
    let undone = asking.flow("create-user", &new_user()).await?;
    ensure!(undone.status != 200, "create-user completed in spite of a fault");
    add("create-user undone", &undone, failing("elasticsearch.index"));
    host.clear().await?;

    let fault = json!({ "name": "passing", "kind": "error", "code": "unavailable", "retryable": true,
        "instance": "redis", "operation": "set", "first": 1 });
    host.fault(&fault).await?;
    let again = asking.completed("create-user", &new_user()).await?;
    add("create-user with a retry", &again, Expected { retried: one("redis.set"), ..plain() });
    host.clear().await?;

    let fault = json!({ "name": "down", "kind": "error", "code": "unavailable", "instance": "http-api" });
    host.fault(&fault).await?;
    let failed = asking.flow("api-health", &json!({})).await?;
    add("api-health failed", &failed, failing("http-api.get"));
    let refused = loop {
        let answer = asking.flow("api-health", &json!({})).await?;
        let code = answer.body.to_string();
        if code.contains("breaker") {
            break answer;
        }
    };
    add("api-health refused", &refused, Expected { refused: one("http-api.get"), ..failing("http-api.get") });
    host.clear().await?;
    Ok(cases)
}

/// A flow that is shipped and not looked at would be a hole in the proof.
async fn all_flows_are_there(asking: &Asking, cases: &[Case]) -> Result<()> {
    let shipped = asking.ask(reqwest::Method::GET, "/v1/flows", None).await?;
    let names = shipped.body["flows"].as_array().context("the host lists no flows")?;
    for name in names.iter().filter_map(|flow| flow["name"].as_str()) {
        ensure!(cases.iter().any(|case| case.name.starts_with(name)), "the flow {name} is not looked at");
    }
    Ok(())
}

/// What a message's processing links to is in the trace that sent it.
async fn linked(stack: &Stack, spans: &[crate::jaeger::Span], defects: &mut Vec<String>) -> Result<()> {
    for (trace, id) in spans.iter().flat_map(|span| &span.links) {
        let sent = stack.jaeger.trace(trace, PATIENCE).await?;
        match sent.iter().find(|span| span.id == *id) {
            Some(span) if span.attributes.contains_key("messaging.system") => {}
            Some(span) => defects.push(format!("a message links to `{}`, which sent nothing", span.name)),
            None => {
                defects.push(format!("a message links to span {id} of trace {trace}, which is not there"))
            }
        }
    }
    Ok(())
}

/// For how many instances Jaeger's Monitor tab has a rate of one of their operations. Calls go on meanwhile.
async fn monitored(
    stack: &Stack,
    asking: &Asking,
    operations: &BTreeMap<String, BTreeSet<String>>,
) -> Result<usize> {
    let begun = Instant::now();
    loop {
        let user = asking.completed("create-user", &new_user()).await?;
        asking.completed("api-health", &json!({})).await?;
        let _ = (user, asking.completed("process-welcome", &json!({})).await?);
        let rates = stack.jaeger.call_rates("chassis").await?;
        let seen = |names: &&BTreeSet<String>| {
            names.iter().any(|name| rates.get(name).is_some_and(|rate| *rate > 0.0))
        };
        let count = operations.values().filter(seen).count();
        if count == operations.len() {
            return Ok(count);
        }
        ensure!(
            begun.elapsed() < SPM,
            "Service Performance Monitoring has {rates:?}, and of {count} of 6 instances: {operations:?}"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn failing(call: &str) -> Expected {
    Expected { failing: one(call), ..Expected::default() }
}

fn one(call: &str) -> BTreeSet<String> {
    BTreeSet::from([call.to_owned()])
}

fn merged(one: &Value, other: Value) -> Value {
    let mut all = one.as_object().cloned().unwrap_or_default();
    all.extend(other.as_object().cloned().unwrap_or_default());
    Value::Object(all)
}
