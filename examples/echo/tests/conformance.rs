//! The conformance suite, on the example.

use chassis_testkit::{
    Bench, Call, Case, Code, Outcome, ServerSource, Subject, Upload, cases, expect_back_pressure,
    expect_code, expect_eq, next_item,
};
use serde_json::json;
use std::time::{Duration, SystemTime};

const CASES: &[Case] = cases! {
    "context is passed on" => context_is_passed_on,
    "raw bytes are passed on" => raw_bytes,
    "a stream sends what is granted" => back_pressure,
    "a stream's error is its last item" => failing_stream,
    "an upload is taken" => upload,
    "a dropped call is dropped in the plugin" => dropped,
};

#[test]
fn manifest() {
    chassis_testkit::manifest(env!("CARGO_MANIFEST_DIR"), &chassis_example_echo::manifest());
}

#[test]
fn conformance() {
    chassis_testkit::run(Subject {
        package: env!("CARGO_PKG_NAME"),
        contract: "",
        server: ServerSource::None,
        config: |_| json!({}),
        wrong_config: (json!({ "prefix": 7 }), "prefix"),
        canary: Some(|_| (json!({ "token": "canary-7f3a" }), "canary-7f3a")),
        slow: Some(("sleep", json!({ "ms": 60_000 }))),
        cases: &[CASES],
    });
}

async fn context_is_passed_on(bench: &Bench) -> Outcome {
    let call = Call {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        tracestate: Some("vendor=1".into()),
        idempotency_key: Some("key-1".into()),
        tenant: Some("tenant-1".into()),
        deadline: Some(SystemTime::now() + Duration::from_secs(60)),
        ..Call::new(bench.operation("context")?, "")
    };
    let reply = bench.call_with(call).await?;
    let mut seen: serde_json::Value =
        serde_json::from_slice(reply.json()).map_err(|error| error.to_string())?;
    let remaining = seen["remaining_ms"].take().as_u64().unwrap_or_default();
    expect_eq("remaining time fits", &(50_000..=60_000).contains(&remaining), &true)?;
    let expected = json!({
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=1", "idempotency_key": "key-1", "tenant": "tenant-1", "remaining_ms": null,
        "instance": "under-test",
    });
    expect_eq("context", &seen, &expected)
}

async fn raw_bytes(bench: &Bench) -> Outcome {
    let raw: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let reply = bench.reply("echo_raw", json!({}), &raw).await?;
    expect_eq("raw bytes", &(reply.raw() == raw), &true)
}

async fn back_pressure(bench: &Bench) -> Outcome {
    expect_back_pressure(bench.stream("count", json!({ "to": 1_000_000_000 })).await?).await?;
    let mut stream = bench.stream("count", json!({ "to": 100 })).await?.with_window(8);
    for n in 1..=100 {
        expect_eq("number", &next_item(&mut stream).await?, &Some(json!({ "n": n })))?;
    }
    expect_eq("end", &next_item(&mut stream).await?, &None)
}

async fn failing_stream(bench: &Bench) -> Outcome {
    let mut stream = bench.stream("count", json!({ "to": 1, "fail": true })).await?.with_window(8);
    expect_eq("number", &next_item(&mut stream).await?, &Some(json!({ "n": 1 })))?;
    let error = stream.next().await.ok_or("the stream ended without its error")?;
    expect_code(error.map(drop), Code::Unavailable)?;
    expect_eq("end", &next_item(&mut stream).await?, &None)
}

async fn upload(bench: &Bench) -> Outcome {
    let (mut sender, upload) = Upload::channel();
    let call = Call { upload: Some(upload), ..Call::new(bench.operation("sum")?, "{}") };
    let send = async move {
        for n in 1..=1000_u64 {
            let item = json!({ "n": n }).to_string();
            if sender.send(item.into(), Default::default()).await.is_err() {
                return;
            }
        }
        sender.finish();
    };
    let (reply, ()) = futures_join(bench.call_with(call), send).await;
    expect_eq("sum", &reply?.json().to_vec(), &b"{\"n\":500500}".to_vec())
}

async fn futures_join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    tokio::join!(a, b)
}

async fn dropped(bench: &Bench) -> Outcome {
    let input = json!({ "ms": 60_000 }).to_string();
    let call = bench.instance().call(Call::new(bench.operation("sleep")?, input));
    if tokio::time::timeout(Duration::from_millis(20), call).await.is_ok() {
        return Err("the sleep ended".into());
    }
    expect_eq("dropped sleeps", &bench.call("cancelled", json!({})).await?, &json!({ "n": 1 }))
}
