//! What a collector that is gone, or says nothing, costs calls: GETs through three hosts in one process, alike but for their
//! collectors, in turns.

use crate::boundary::{direct, plugins_dir, redis::host_call};
use crate::load::rate;
use crate::sink::Sink;
use crate::stats::{Pairs, rounded};
use anyhow::{Result, ensure};
use bytes::Bytes;
use chassis::app::App;
use chassis::config::{Config, Source};
use chassis::registry::OperationRef;
use serde_json::json;
use std::net::TcpListener;
use std::path::Path;

const ROUNDS: usize = 9;
const WIDTH: u64 = 64;

/// Runs it.
pub fn run(json: bool) -> Result<()> {
    let say = |line: String| if json { eprintln!("{line}") } else { println!("{line}") };
    let sink = Sink::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (dead, hanging) = runtime.block_on(measure(&sink.endpoint, &say))?;
    if json {
        println!(
            "{}",
            json!({ "dead_collector_ratio": rounded(dead), "hanging_collector_ratio": rounded(hanging) })
        );
    }
    Ok(())
}

/// Calls a second without and with a live collector; every call is traced, so that each queue is full soon.
async fn measure(live: &str, say: &impl Fn(String)) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let nobody = TcpListener::bind("127.0.0.1:0")?;
    let dead = format!("http://{}", nobody.local_addr()?);
    drop(nobody);
    // The system accepts connections for it, and nobody ever reads them.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let hanging = format!("http://{}", silent.local_addr()?);
    direct::connect().await?;
    let mut hosts = Vec::new();
    for (name, endpoint) in [("live", live), ("dead", &dead), ("hanging", &hanging)] {
        let app = App::start(config(folder.path(), name, endpoint)?).await?;
        let get = app.registry.operation("redis", "get")?.to_ref();
        hosts.push((app, get));
    }
    let (mut of_dead, mut of_hanging) = (Pairs::default(), Pairs::default());
    for round in 0..=ROUNDS {
        let mut rates = [0.0; 3];
        // Each is first as often as last.
        for turn in 0..hosts.len() {
            let at = (turn + round) % hosts.len();
            rates[at] = gets(&hosts[at].1).await?;
        }
        if round > 0 {
            of_dead.round(rates[1], rates[0]);
            of_hanging.round(rates[2], rates[0]);
        }
    }
    for (name, pairs) in [("dead", &of_dead), ("hanging", &of_hanging)] {
        let (without, with) = pairs.medians();
        say(format!(
            "GET, 64, collector {name:<8} {without:>9.0}/s   live {with:>9.0}/s   ratio {:.3}",
            pairs.ratio()
        ));
    }
    for ((app, _), name) in hosts.into_iter().zip(["live", "dead", "hanging"]) {
        let lost = dropped(&app.telemetry.prometheus());
        say(format!("spans dropped, collector {name}: {lost}"));
        ensure!(name == "live" || lost > 0.0, "the collector {name} was there");
        app.stop().await;
    }
    Ok((of_dead.ratio(), of_hanging.ratio()))
}

async fn gets(get: &OperationRef) -> Result<f64> {
    let input = Bytes::from(json!({ "key": direct::KEY }).to_string());
    let get = get.clone();
    rate(WIDTH, move |_| host_call(get.clone(), input.clone(), true)).await
}

fn dropped(metrics: &str) -> f64 {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("chassis_spans_dropped_total "));
    lines.filter_map(|value| value.parse::<f64>().ok()).sum()
}

fn config(folder: &Path, name: &str, endpoint: &str) -> Result<Config> {
    let text = format!(
        "plugins_dir = {:?}\n[journal]\nurl = \"memory\"\n[telemetry]\nlog = \"error\"\notlp_endpoint = \"{endpoint}\"\n\
         [instances.redis]\nplugin = \"redis\"\nconfig = {{ url = \"${{env:CHASSIS_REDIS_URL}}\" }}\n\
         [instances.redis.policy]\nbulkhead = 256\n",
        plugins_dir()?
    );
    let file = folder.join(format!("{name}.toml"));
    std::fs::write(&file, text)?;
    Config::load(&Source::File(file)).map_err(|problems| anyhow::anyhow!("{problems}"))
}
