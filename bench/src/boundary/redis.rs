//! GET on a real Redis: through the boundary alone, and through all of the host.

use super::{Bare, ROUNDS, direct, load_plugin};
use crate::load::{SLICE, rate, rate_for};
use crate::stats::Pairs;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use chassis::app::App;
use chassis::config::{Config, Source};
use chassis::registry::OperationRef;
use chassis::request::{Context, Request};
use chassis_loader::{Call, Instance, Plugin};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Ratios, ours over the driver's.
#[derive(Clone, Copy)]
pub struct Ratios {
    pub c1: f64,
    pub c64: f64,
    pub c64_raw: f64,
    pub c64_10pct: f64,
    pub c64_100pct: f64,
}

/// A host on the real server, and what was measured.
pub struct Measured {
    pub app: App,
    pub ratios: Ratios,
    _folder: TempDir,
}

impl Measured {
    pub async fn stop(self) {
        self.app.stop().await;
    }
}

/// Measures; keeps the host for what comes next.
pub async fn measure(folder: &Path, endpoint: &str, say: &impl Fn(String)) -> Result<Measured> {
    let temporary = tempfile::tempdir()?;
    let plugin = load_plugin(folder, "redis", &temporary.path().join("generations"))?;
    let bare = open(&plugin)?;
    let app = App::start(config(temporary.path(), endpoint)?).await?;
    let get = app.registry.operation("redis", "get")?.to_ref();
    let (json_get, raw_get) = (operation(&plugin, "get")?, operation(&plugin, "get_raw")?);
    let input = Bytes::from(json!({ "key": direct::KEY }).to_string());

    // Writes the value.
    direct::connect().await?;
    let mut all: [Pairs; 5] = Default::default();
    for round in 0..=ROUNDS {
        let bare_calls = |operation| {
            let (bare, input) = (bare.clone(), input.clone());
            move |_| bare_call(bare.clone(), operation, input.clone())
        };
        let host_calls = |every: u64| {
            let (get, input) = (get.clone(), input.clone());
            move |n| host_call(get.clone(), input.clone(), n % every == 0)
        };
        let measured = [
            (rate(1, bare_calls(json_get)).await?, driver(1).await?),
            (rate(64, bare_calls(json_get)).await?, driver(64).await?),
            (rate(64, bare_calls(raw_get)).await?, driver(64).await?),
            (rate(64, host_calls(10)).await?, driver(64).await?),
            (rate(64, host_calls(1)).await?, driver(64).await?),
        ];
        if round == 0 {
            continue;
        }
        for (pairs, (ours, theirs)) in all.iter_mut().zip(measured) {
            pairs.round(ours, theirs);
        }
    }
    let names = [
        "GET, 1 in flight, boundary",
        "GET, 64 in flight, boundary",
        "GET raw, 64 in flight, boundary",
        "GET, 64, whole host, 10 % traced",
        "GET, 64, whole host, 100 % traced",
    ];
    for (name, pairs) in names.iter().zip(&all) {
        say(pairs.line(name));
    }
    let [c1, c64, c64_raw, c64_10pct, c64_100pct] = all.each_ref().map(Pairs::ratio);
    Ok(Measured { app, ratios: Ratios { c1, c64, c64_raw, c64_10pct, c64_100pct }, _folder: temporary })
}

/// The plugin's side alone, without a host.
fn open(plugin: &Arc<Plugin>) -> Result<Arc<Instance>> {
    let config = json!({ "url": direct::url()? });
    Ok(Arc::new(chassis_loader::create(plugin, "bare", &config, Bare::here())?))
}

fn operation(plugin: &Plugin, name: &str) -> Result<u32> {
    Ok(plugin.manifest().operation(name).context("no such operation")?.0)
}

fn config(folder: &Path, endpoint: &str) -> Result<Config> {
    let text = format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[telemetry]\nlog = \"warn\"\notlp_endpoint = \"{endpoint}\"\n\
         [instances.redis]\nplugin = \"redis\"\nconfig = {{ url = \"${{env:CHASSIS_REDIS_URL}}\" }}\n\
         [instances.redis.policy]\nbulkhead = 256\n"
    );
    let file = folder.join("bench.toml");
    std::fs::write(&file, text)?;
    Config::load(&Source::File(file)).map_err(|problems| anyhow::anyhow!("{problems}"))
}

async fn driver(width: u64) -> Result<f64> {
    driver_for(SLICE, width).await
}

async fn driver_for(slice: Duration, width: u64) -> Result<f64> {
    let connection = direct::connect().await?;
    rate_for(slice, width, move |_| {
        let mut connection = connection.clone();
        async move {
            let value = direct::get(&mut connection).await?;
            anyhow::ensure!(value.len() == direct::VALUE.len(), "a wrong value");
            Ok(())
        }
    })
    .await
}

async fn bare_call(instance: Arc<Instance>, operation: u32, json: Bytes) -> Result<()> {
    let reply = instance.call(Call { operation, json, ..Call::default() }).await?;
    anyhow::ensure!(reply.json().len() + reply.raw().len() > direct::VALUE.len(), "a wrong value");
    Ok(())
}

/// One GET through all of a host.
pub async fn host_call(get: OperationRef, json: Bytes, traced: bool) -> Result<()> {
    let flags = if traced { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let trace = SpanContext::new(TraceId::from(7), SpanId::from(7), flags, true, TraceState::NONE);
    let request = Request { json, context: Context { trace, ..Context::default() }, ..Request::default() };
    let reply = get.call(request).await.map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
    anyhow::ensure!(reply.json().len() > direct::VALUE.len(), "a wrong value");
    Ok(())
}

/// One side alone, for a profiler, 64 at a time: calls a second.
pub async fn spin(what: &str, slice: Duration, folder: &Path, endpoint: &str) -> Result<f64> {
    let temporary = tempfile::tempdir()?;
    direct::connect().await?;
    let input = Bytes::from(json!({ "key": direct::KEY }).to_string());
    match what {
        "driver" => driver_for(slice, 64).await,
        "get" | "get-raw" => {
            let plugin = load_plugin(folder, "redis", &temporary.path().join("generations"))?;
            let bare = open(&plugin)?;
            let operation = operation(&plugin, if what == "get" { "get" } else { "get_raw" })?;
            rate_for(slice, 64, move |_| bare_call(bare.clone(), operation, input.clone())).await
        }
        _ => {
            let app = App::start(config(temporary.path(), endpoint)?).await?;
            let get = app.registry.operation("redis", "get")?.to_ref();
            let every = if what == "host" { 10 } else { 1 };
            let rate =
                rate_for(slice, 64, move |n| host_call(get.clone(), input.clone(), n % every == 0)).await;
            for line in app.telemetry.prometheus().lines().filter(|line| line.starts_with("chassis_spans_")) {
                eprintln!("{line}");
            }
            app.stop().await;
            rate
        }
    }
}
