//! One backend that is dead, or silent, or slow, and another one beside it in the same host.

#![allow(clippy::unwrap_used)]

mod process_support;

use chassis::app::App;
use chassis::config::{Config, Source};
use chassis::error::CallFailure;
use chassis::request::Request;
use chassis_abi::Code;
use process_support::House;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Callers of each, all at once.
const CALLERS: usize = 64;
const EACH: usize = 40;

async fn host(house: &House, policy: &str) -> Arc<App> {
    let text = format!(
        "plugins_dir = {:?}\nflows_dir = {:?}\n[journal]\nurl = \"memory\"\n[telemetry]\nlog = \"error\"\n\
         [instances.well]\nplugin = \"echo\"\n[instances.well.policy]\nbulkhead = {CALLERS}\n\
         [instances.ill]\nplugin = \"echo\"\n[instances.ill.policy]\n{policy}\n",
        house.path("plugins"),
        house.path("flows"),
    );
    house.write("host.toml", &text);
    std::fs::remove_file(house.path("flows/say.toml")).unwrap();
    let config = Config::load(&Source::File(house.path("host.toml"))).unwrap();
    Arc::new(App::start(config).await.unwrap())
}

/// How the calls of one instance ended: by code and by the policy that refused them.
type Ends = BTreeMap<String, usize>;

fn end(result: Result<(), CallFailure>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(failure) => format!("{} {}", failure.code().as_str(), failure.refused_by.unwrap_or("backend")),
    }
}

/// Calls both at once, as fast as each answers.
async fn press(app: &Arc<App>, ill: (&'static str, Value)) -> (Ends, Ends) {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS * 2 {
        let (app, ill) = (app.clone(), ill.clone());
        callers.spawn(async move {
            let mut ends = Vec::new();
            for n in 0..EACH {
                let (instance, operation, input) = match caller % 2 {
                    0 => ("well", "echo", json!({ "value": n })),
                    _ => ("ill", ill.0, ill.1.clone()),
                };
                let reply = app.registry.call(instance, operation, Request::of(&input)).await;
                ends.push(end(reply.map(drop)));
                tokio::task::yield_now().await;
            }
            (caller % 2, ends)
        });
    }
    let mut counted = [Ends::new(), Ends::new()];
    for (which, ends) in callers.join_all().await {
        ends.into_iter().for_each(|end| *counted[which].entry(end).or_default() += 1);
    }
    let [well, ill] = counted;
    (well, ill)
}

fn house() -> House {
    House::new("")
}

fn is_well(well: &Ends) {
    assert_eq!(well, &Ends::from([("ok".to_owned(), CALLERS * EACH)]), "the other one harmed it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_backend_takes_its_own_places_and_no_more() {
    let house = house();
    let app = host(&house, "attempt_timeout = \"150ms\"\nretry = \"off\"").await;
    let (well, ill) = press(&app, ("sleep", json!({ "ms": 60_000 }))).await;
    is_well(&well);
    // 25 at once wait for it, the others are turned away at once; then the breaker knows.
    assert!(ill.contains_key("resource_exhausted bulkhead"), "{ill:?}");
    assert!(ill.contains_key("unavailable breaker"), "{ill:?}");
    assert!(ill[&timed_out(&ill)] < 100, "few have waited: {ill:?}");
    assert!(!ill.contains_key("ok"), "{ill:?}");
    Arc::into_inner(app).unwrap().stop().await;
}

fn timed_out(ends: &Ends) -> String {
    ends.keys().find(|end| end.starts_with(Code::DeadlineExceeded.as_str())).cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_crashes_is_spared_and_the_other_knows_nothing_of_it() {
    let house = house();
    let app = host(&house, "retry = \"off\"").await;
    let (well, ill) = press(&app, ("panic", json!({}))).await;
    is_well(&well);
    assert!(!ill.contains_key("ok"), "{ill:?}");
    assert!(ill.contains_key("unavailable breaker"), "{ill:?}");
    Arc::into_inner(app).unwrap().stop().await;
}
