//! Inserts on real servers, 32 in flight, gathered and not: two instances of the same plugin, one of them told to gather nothing.

use crate::boundary::plugins_dir;
use crate::load;
use crate::stats::{Pairs, rounded};
use anyhow::{Context as _, Result, ensure};
use chassis::app::App;
use chassis::config::{Config, Source};
use chassis::registry::OperationRef;
use chassis::request::{Context, Request};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const ROUNDS: usize = 5;
const WIDTH: u64 = 32;

/// A backend, and how it is written to.
struct Side {
    name: &'static str,
    operation: &'static str,
    prepare: (&'static str, Value),
    input: fn(u64) -> Value,
}

/// Writes a second with and without, by backend.
pub async fn measure(say: &impl Fn(String)) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let app = App::start(config(folder.path())?).await?;
    let mut measured = json!({});
    let numbers = Arc::new(AtomicU64::new(0));
    for side in sides() {
        let (prepare, input) = &side.prepare;
        call(&app, side.name, prepare, input).await?;
        let gathered = app.registry.operation(side.name, side.operation)?.to_ref();
        let alone = app.registry.operation(&format!("{}-alone", side.name), side.operation)?.to_ref();
        if side.name == "postgres" {
            let bytes = size_of_val(&gathered.call(Request::of(&(side.input)(0))));
            say(format!("the future of a call has {bytes} bytes"));
        }
        let mut pairs = Pairs::default();
        for round in 0..=ROUNDS {
            let with = rate(&gathered, side.input, &numbers).await?;
            let without = rate(&alone, side.input, &numbers).await?;
            if round > 0 {
                pairs.round(with, without);
            }
        }
        let (with, without) = pairs.medians();
        let ratio = pairs.ratio();
        say(format!("{:<14} {with:>9.0}/s gathered   {without:>9.0}/s alone   ratio {ratio:.2}", side.name));
        measured[side.name] =
            json!({ "with": rounded(with), "without": rounded(without), "ratio": rounded(ratio) });
    }
    app.stop().await;
    Ok(measured)
}

fn sides() -> [Side; 3] {
    let table =
        "DROP TABLE IF EXISTS chassis_bench; CREATE TABLE chassis_bench (id bigint PRIMARY KEY, name text)";
    let statements: Vec<Value> = table.split("; ").map(|sql| json!({ "sql": sql })).collect();
    [
        Side {
            name: "postgres",
            operation: "insert",
            prepare: ("transaction", json!({ "statements": statements })),
            input: |n| json!({ "table": "chassis_bench", "values": { "id": n, "name": "Ada Lovelace" } }),
        },
        Side {
            name: "mongodb",
            operation: "insert",
            prepare: ("delete", json!({ "collection": "chassis_bench", "filter": {}, "many": true })),
            input: |n| json!({ "collection": "chassis_bench", "document": { "_id": n, "name": "Ada Lovelace" } }),
        },
        Side {
            name: "elasticsearch",
            operation: "index",
            prepare: ("create_index", json!({ "index": "chassis_bench" })),
            input: |n| json!({ "index": "chassis_bench", "id": n.to_string(), "document": { "name": "Ada Lovelace" } }),
        },
    ]
}

fn config(folder: &Path) -> Result<Config> {
    // A folder of its own: every other file beside them would be taken for a flow.
    let flows = folder.join("flows");
    std::fs::create_dir_all(&flows)?;
    let mut text = format!(
        "plugins_dir = {:?}\nflows_dir = {:?}\n[telemetry]\nlog = \"warn\"\n[journal]\nurl = \"memory\"\n",
        plugins_dir()?,
        flows
    );
    for name in ["postgres", "mongodb", "elasticsearch"] {
        let url = format!("${{env:CHASSIS_{}_URL}}", name.to_uppercase());
        for (instance, coalesce) in [(name.to_owned(), ""), (format!("{name}-alone"), "coalesce = \"off\"\n")]
        {
            text.push_str(&format!(
                "[instances.{instance}]\nplugin = \"{name}\"\nconfig = {{ url = \"{url}\" }}\n\
                 [instances.{instance}.policy]\nbulkhead = 64\n{coalesce}"
            ));
        }
    }
    let file = folder.join("bench.toml");
    std::fs::write(&file, text)?;
    Config::load(&Source::File(file)).map_err(|problems| anyhow::anyhow!("{problems}"))
}

async fn call(app: &App, instance: &str, operation: &str, input: &Value) -> Result<()> {
    let called = app.registry.call(instance, operation, Request::of(input)).await;
    called.map(drop).with_context(|| format!("{instance}.{operation}"))
}

async fn rate(operation: &OperationRef, input: fn(u64) -> Value, numbers: &Arc<AtomicU64>) -> Result<f64> {
    let (operation, numbers) = (operation.clone(), numbers.clone());
    load::rate(WIDTH, move |_| {
        let (operation, n) = (operation.clone(), numbers.fetch_add(1, Ordering::Relaxed));
        async move {
            // Not recorded, as most are not.
            let flags = TraceFlags::default();
            let trace = SpanContext::new(TraceId::from(7), SpanId::from(7), flags, true, TraceState::NONE);
            let request = Request::of(&input(n)).with_context(Context { trace, ..Context::default() });
            let reply = operation.call(request).await?;
            ensure!(!reply.json().is_empty(), "no answer");
            Ok(())
        }
    })
    .await
}
