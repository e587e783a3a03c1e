//! Gathering: who goes with whom, and that nobody harms the others.

mod beside;
mod late;

use super::*;
use crate::policy::coalesce::{Coalesce, Item, Sends};
use crate::request::Reply;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A backend that takes its time and writes down what it is sent. An input is `{"n": …, "does": …}`.
#[derive(Clone, Default)]
struct Backend(Arc<Inner>);

#[derive(Default)]
struct Inner {
    sent: Mutex<Vec<Sent>>,
    in_flight: AtomicUsize,
    most: AtomicUsize,
    dropped: AtomicUsize,
    down: bool,
    /// How much longer it takes.
    slow: Duration,
}

#[derive(Clone, Debug, PartialEq)]
struct Sent {
    batch: bool,
    items: Vec<u64>,
    keys: Vec<Option<String>>,
    spans: Vec<SpanId>,
    deadline: Option<Instant>,
    tenant: Option<Arc<str>>,
}

const TAKES: Duration = Duration::from_millis(10);

struct Flight<'a>(&'a Inner, bool);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.dropped.fetch_add(usize::from(!self.1), Ordering::Relaxed);
    }
}

impl Backend {
    async fn work(&self, sent: Sent) {
        self.0.sent.lock().unwrap().push(sent);
        let now = self.0.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.most.fetch_max(now, Ordering::Relaxed);
        let mut flight = Flight(&self.0, false);
        sleep(TAKES + self.0.slow).await;
        flight.1 = true;
    }

    fn sent(&self) -> Vec<Sent> {
        self.0.sent.lock().unwrap().clone()
    }

    /// What the operation does with one input.
    fn answer(input: &Value) -> Result<Value, CallError> {
        match input["does"].as_str() {
            Some("fail") => Err(CallError {
                status: Some("23505".into()),
                field: Some("email".into()),
                ..CallError::new(Code::AlreadyExists, "taken")
            }),
            _ => Ok(json!({"doubled": input["n"].as_u64().unwrap_or_default() * 2})),
        }
    }

    async fn single_call(self, item: Item) -> Result<Reply, CallFailure> {
        let Ok(input) = serde_json::from_slice::<Value>(&item.json) else {
            return Err(failure(Code::InvalidArgument));
        };
        self.work(sent_of(std::slice::from_ref(&item), false, item.deadline)).await;
        match input["does"].as_str() {
            Some("spoil") => Err(failure(Code::InvalidArgument)),
            _ => Self::answer(&input)
                .map(|output| Reply::of_json(output.to_string()))
                .map_err(CallFailure::from),
        }
    }
}

fn sent_of(items: &[Item], batch: bool, deadline: Option<Instant>) -> Sent {
    let number =
        |item: &Item| serde_json::from_slice::<Value>(&item.json).unwrap()["n"].as_u64().unwrap_or_default();
    Sent {
        batch,
        items: items.iter().map(number).collect(),
        keys: items.iter().map(|item| item.key.as_deref().map(str::to_owned)).collect(),
        spans: items.iter().map(|item| item.span.span_id()).collect(),
        deadline,
        tenant: items[0].tenant.clone(),
    }
}

impl Sends for Backend {
    fn batch<'a>(
        &'a self,
        items: &'a [Item],
        json: Bytes,
        deadline: Option<Instant>,
    ) -> BoxFuture<'a, Result<Bytes, CallFailure>> {
        async move {
            let document: Value = serde_json::from_slice(&json).unwrap();
            let inputs = document["items"].as_array().unwrap();
            assert_eq!(inputs.len(), items.len());
            for (at, item) in items.iter().enumerate() {
                let origin = &document["origins"][at];
                assert_eq!(origin["idempotency_key"].as_str(), item.key.as_deref());
                assert_eq!(origin["traceparent"].as_str(), item.traceparent.as_deref());
            }
            self.work(sent_of(items, true, deadline)).await;
            if self.0.down {
                return Err(failure(Code::Unavailable));
            }
            if inputs.iter().any(|input| input["does"] == "spoil") {
                // As a plugin does that cannot read its input.
                return Err(failure(Code::InvalidArgument));
            }
            if inputs.iter().any(|input| input["does"] == "lose") {
                return Ok(Bytes::from(r#"{"items": [{"ok": 1}]}"#));
            }
            let results: Vec<Value> = inputs
                .iter()
                .map(|input| match Self::answer(input) {
                    Ok(output) => json!({ "ok": output }),
                    Err(error) => json!({ "error": { "code": error.code.as_str(), "message": error.message,
                                          "status": error.status, "field": error.field } }),
                })
                .collect();
            Ok(Bytes::from(json!({ "items": results }).to_string()))
        }
        .boxed()
    }

    fn single(&self, item: Item) -> BoxFuture<'static, Result<Reply, CallFailure>> {
        self.clone().single_call(item).boxed()
    }

    fn failed(&self, error: CallError) -> CallFailure {
        error.into()
    }

    fn may_apply(&self) -> bool {
        true
    }
}

fn item(n: u64, does: &str) -> Item {
    let trace = TraceId::from(7_u128);
    let span = SpanContext::new(trace, SpanId::from(n + 1), TraceFlags::SAMPLED, false, Default::default());
    Item {
        json: json!({"n": n, "does": does}).to_string().into(),
        key: Some(format!("key-{n}").into()),
        tenant: None,
        traceparent: Some(format!("00-7-{n}-01").into()),
        tracestate: None,
        span,
        deadline: Some(Instant::now() + Duration::from_secs(n + 1)),
    }
}

/// As an instance sends it.
fn send(
    coalesce: &Arc<Coalesce<Backend>>,
    backend: &Backend,
    item: Item,
) -> BoxFuture<'static, Result<Reply, CallFailure>> {
    let alone = backend.clone().single_call(item.clone());
    match coalesce.place() {
        Some(place) => async move {
            let _place = place;
            alone.await
        }
        .boxed(),
        None => coalesce.join(item, backend.clone(), alone),
    }
}

fn output(result: &Result<Reply, CallFailure>) -> Value {
    serde_json::from_slice(result.as_ref().unwrap().json()).unwrap()
}

fn start() -> (Arc<Coalesce<Backend>>, Backend) {
    (Coalesce::new(CoalesceSettings::default()), Backend::default())
}

/// Sends all at once; each in a task of its own.
fn all(
    coalesce: &Arc<Coalesce<Backend>>,
    backend: &Backend,
    items: Vec<Item>,
) -> Vec<tokio::task::JoinHandle<Result<Reply, CallFailure>>> {
    items.into_iter().map(|item| tokio::spawn(send(coalesce, backend, item))).collect()
}

#[tokio::test(start_paused = true)]
async fn an_idle_one_sends_at_once_and_what_comes_meanwhile_goes_together() {
    let (coalesce, backend) = start();
    let begun = Instant::now();
    assert_eq!(output(&send(&coalesce, &backend, item(1, "")).await), json!({"doubled": 2}));
    assert_eq!(begun.elapsed(), TAKES, "no wait is added");
    let calls = all(&coalesce, &backend, (0..200).map(|n| item(n, "")).collect());
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(output(&call.await.unwrap()), json!({"doubled": 2 * n}));
    }
    let sent = backend.sent();
    let sizes: Vec<usize> = sent.iter().map(|sent| sent.items.len()).collect();
    assert_eq!(sizes, [1, 1, 1, 64, 64, 64, 6]);
    assert_eq!(backend.0.most.load(Ordering::Relaxed), 2);
    assert_eq!(coalesce.waiting(), 0);
    // Everything is as it was.
    assert_eq!(output(&send(&coalesce, &backend, item(3, "")).await), json!({"doubled": 6}));
    assert!(!backend.sent().last().unwrap().batch);
}

#[tokio::test(start_paused = true)]
async fn each_item_keeps_its_key_its_span_and_its_deadline() {
    let (coalesce, backend) = start();
    let begun = Instant::now();
    for call in all(&coalesce, &backend, (0..10).map(|n| item(n, "")).collect()) {
        call.await.unwrap().unwrap();
    }
    let sent = backend.sent();
    let batch = sent.iter().find(|sent| sent.batch).unwrap();
    for (n, (key, span)) in batch.items.iter().zip(batch.keys.iter().zip(&batch.spans)) {
        assert_eq!(key.as_deref(), Some(&*format!("key-{n}")));
        assert_eq!(*span, SpanId::from(n + 1));
    }
    assert_eq!(batch.deadline, Some(begun + Duration::from_secs(10)), "the last one's");
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_fails_alone_with_all_that_is_known() {
    let (coalesce, backend) = start();
    let does = |n| if n == 5 { "fail" } else { "" };
    for (n, call) in
        all(&coalesce, &backend, (0..10).map(|n| item(n, does(n))).collect()).into_iter().enumerate()
    {
        let result = call.await.unwrap();
        if n != 5 {
            assert_eq!(output(&result), json!({"doubled": 2 * n}));
            continue;
        }
        let failure = result.unwrap_err();
        assert_eq!(failure.code(), Code::AlreadyExists);
        assert_eq!(failure.error.status.as_deref(), Some("23505"));
        assert_eq!(failure.error.field.as_deref(), Some("email"));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_spoils_a_batch_is_found_by_sending_each_alone() {
    let (coalesce, backend) = start();
    let mut items: Vec<Item> = (0..10).map(|n| item(n, if n == 5 { "spoil" } else { "" })).collect();
    // What is no JSON, and what would break out of its place, never get into one.
    for (at, broken) in [(6, "{"), (7, "1},{\"n\":99"), (8, "{} {}")] {
        items[at].json = Bytes::from_static(broken.as_bytes());
    }
    for (n, call) in all(&coalesce, &backend, items).into_iter().enumerate() {
        let result = call.await.unwrap();
        if (5..=8).contains(&n) {
            assert_eq!(result.unwrap_err().code(), Code::InvalidArgument, "{n}");
        } else {
            assert_eq!(output(&result), json!({"doubled": 2 * n}));
        }
    }
    assert!(backend.sent().iter().all(|sent| !sent.items.contains(&99)));
}

#[tokio::test(start_paused = true)]
async fn those_that_leave_are_not_sent_and_take_nobody_along() {
    let (coalesce, backend) = start();
    let calls = all(&coalesce, &backend, (0..30).map(|n| item(n, "")).collect());
    // While it waits.
    sleep(TAKES / 2).await;
    calls[10].abort();
    // While its batch is under way.
    sleep(TAKES).await;
    calls[20].abort();
    for (n, call) in calls.into_iter().enumerate() {
        match call.await {
            Ok(result) => assert_eq!(output(&result), json!({"doubled": 2 * n})),
            Err(gone) => assert!(gone.is_cancelled() && [10, 20].contains(&n)),
        }
    }
    let items: Vec<u64> = backend.sent().into_iter().flat_map(|sent| sent.items).collect();
    assert!(!items.contains(&10) && items.contains(&20));
    assert_eq!(backend.0.dropped.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_nobody_waits_for_is_given_up() {
    let (coalesce, backend) = start();
    let calls = all(&coalesce, &backend, (0..30).map(|n| item(n, "")).collect());
    sleep(TAKES + TAKES / 2).await;
    assert_eq!(backend.0.in_flight.load(Ordering::Relaxed), 1);
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    join_all(calls).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(
        (backend.0.in_flight.load(Ordering::Relaxed), backend.0.dropped.load(Ordering::Relaxed)),
        (0, 1)
    );
    // Its place is free again.
    for call in all(&coalesce, &backend, (0..2).map(|n| item(n, "")).collect()) {
        call.await.unwrap().unwrap();
    }
    assert!(backend.sent().iter().rev().take(2).all(|sent| !sent.batch));
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_whole_is_everyones_and_so_is_an_answer_that_makes_no_sense() {
    let backend = Backend(Arc::new(Inner { down: true, ..Inner::default() }));
    let coalesce = Coalesce::new(CoalesceSettings::default());
    let calls = all(&coalesce, &backend, (0..10).map(|n| item(n, "")).collect());
    let results = join_all(calls).await;
    assert!(
        results[2..]
            .iter()
            .all(|result| result.as_ref().unwrap().as_ref().unwrap_err().code() == Code::Unavailable)
    );
    let (coalesce, backend) = start();
    let calls = all(&coalesce, &backend, (0..10).map(|n| item(n, "lose")).collect());
    for result in join_all(calls).await.into_iter().skip(2) {
        let failure = result.unwrap().unwrap_err();
        assert!(failure.code() == Code::Internal && failure.error.maybe_applied);
        assert_eq!(failure.error.message, "the plugin answered a batch of 8 items with 1 results");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_on_behalf_of_one_tenant() {
    let (coalesce, backend) = start();
    let items = (0..60).map(|n| Item { tenant: Some(format!("t{}", n % 3).into()), ..item(n, "") }).collect();
    for (n, call) in all(&coalesce, &backend, items).into_iter().enumerate() {
        assert_eq!(output(&call.await.unwrap()), json!({"doubled": 2 * n}));
    }
    for sent in backend.sent() {
        let tenant = sent.tenant.unwrap();
        assert!(sent.items.iter().all(|n| *tenant == *format!("t{}", n % 3)), "{tenant} {:?}", sent.items);
    }
}

proptest! {
    /// Calls that come at any time, with any input, of which some leave at any time: each of the others gets exactly its own
    /// result, none is sent twice unless its batch was spoilt, and all places are free in the end.
    #[test]
    fn everyone_gets_exactly_its_own(
        calls in prop::collection::vec((0_u64..30, 0_u8..12, prop::option::weighted(0.2, 0_u64..40)), 1..120),
        batches in 1_usize..4,
        items in 2_usize..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let coalesce = Coalesce::new(CoalesceSettings { batches, items });
            let backend = Backend::default();
            let mut tasks = Vec::new();
            for (n, (wait, does, leaves)) in calls.iter().enumerate() {
                sleep(Duration::from_millis(*wait / 10)).await;
                let does = match does { 0 => "fail", 1 => "spoil", _ => "" };
                let sent = send(&coalesce, &backend, item(n as u64, does));
                let leaves = Duration::from_millis(leaves.unwrap_or(1_000_000));
                tasks.push((does, tokio::spawn(tokio::time::timeout(leaves, sent))));
            }
            for (n, (does, task)) in tasks.into_iter().enumerate() {
                let Ok(result) = task.await.unwrap() else { continue };
                match does {
                    "fail" => assert_eq!(result.unwrap_err().code(), Code::AlreadyExists),
                    "spoil" => assert_eq!(result.unwrap_err().code(), Code::InvalidArgument),
                    _ => assert_eq!(output(&result), json!({"doubled": 2 * n})),
                }
            }
            let mut times = BTreeMap::<u64, usize>::new();
            let spoilt = |sent: &Sent| sent.items.iter().any(|n| calls[*n as usize].1 == 1);
            for sent in backend.sent().iter().filter(|sent| !(sent.batch && spoilt(sent))) {
                sent.items.iter().for_each(|n| *times.entry(*n).or_default() += 1);
                assert!(sent.items.len() <= items);
            }
            assert!(times.values().all(|times| *times == 1), "{times:?}");
            sleep(Duration::from_secs(1)).await;
            assert_eq!((coalesce.waiting(), backend.0.in_flight.load(Ordering::Relaxed)), (0, 0));
            let places: Vec<_> = std::iter::from_fn(|| coalesce.place()).collect();
            assert_eq!(places.len(), batches);
        });
    }
}
