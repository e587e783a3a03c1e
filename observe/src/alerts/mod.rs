//! The matrix of faults: each is provoked under load on the real Prometheus and Alertmanager, with shortened windows. Its own alert is
//! told, it blames the right one, nothing else is told, and it resolves when the fault is over.

mod cases;

use self::cases::{Act, CASES, Case};
use crate::ask::{Asking, new_user};
use crate::load::Load;
use crate::prometheus::Alert;
use crate::slowly;
use crate::stack::{Options, Stack};
use anyhow::{Context, Result, ensure};
use chassis_faults::host::Host;
use chassis_faults::still::Still;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Faults that were provoked.
    pub faults: usize,
    /// Those of which exactly their own alert was told.
    pub exact: usize,
    /// What was wrong with the others; a line each.
    pub wrong: Vec<String>,
}

/// All windows are divided by this: five minutes become fifteen seconds.
const SHORTEN: u32 = 20;
/// What has to go with it: times of the host that no rule knows.
const HOST: &str = "\n[health]\ninterval = \"250ms\"\ntimeout = \"200ms\"\n";
const BREAKER: &str = "breaker = { longest = \"1500ms\" }\n";
/// How long an alert may take to be told, and to be over.
const PATIENCE: Duration = Duration::from_secs(150);
/// So long nothing else may be told beside it.
const HOLD: Duration = Duration::from_secs(8);

/// The stack while the cases are played: the host may come and go.
struct Scene {
    stack: Stack,
    host: Option<Host>,
    asking: Asking,
}

/// What holds a fault in force besides the host's own faults; dropped, it is over.
#[derive(Default)]
struct Held {
    still: Option<Still>,
    load: Option<Load>,
    host_gone: bool,
    jaeger_gone: bool,
}

/// Runs all cases whose name, alert or blamed instance holds `only`, if that is given.
pub async fn run(only: Option<&str>) -> Result<Found> {
    let meant = |text: &str| only.is_none_or(|only| text.contains(only));
    let chosen: Vec<&Case> =
        CASES.iter().filter(|case| [case.name, case.alert, case.blamed].into_iter().any(meant)).collect();
    ensure!(!chosen.is_empty(), "no fault, alert or instance is called so: {}", only.unwrap_or_default());
    let policies = INSTANCES.map(|name| format!("\n[instances.{name}.policy]\n{BREAKER}")).concat();
    let options = Options { shorten: SHORTEN, flows: vec![slowly::FLOW], host: HOST.to_owned() + &policies };
    let stack = Stack::start(&options).await?;
    let host = stack.host().await?;
    let asking = Asking::new(&host)?;
    slowly::declare(&asking).await?;
    stack.scraped().await?;
    let mut scene = Scene { stack, host: Some(host), asking };
    let load = Load::of_reads(&scene.asking);
    let mut found = Found::default();
    // Rates need a while to be there.
    tokio::time::sleep(Duration::from_secs(20)).await;
    for case in &chosen {
        found.faults += 1;
        for last in [false, true] {
            let begun = Instant::now();
            let played = scene.play(case).await;
            let took = begun.elapsed().as_secs();
            let Err(reason) = played else {
                found.exact += 1;
                eprintln!("alerts: {}: {} told, alone, and resolved, in {took} s", case.name, case.alert);
                break;
            };
            let line = format!("{} ({}), after {took} s: {reason:#}", case.name, case.alert);
            scene.quiet().await.context("after a fault that went wrong")?;
            // With divided windows a machine that stands still for some seconds looks like a trouble of minutes.
            eprintln!("alerts: {}: {line}", if last { "WRONG" } else { "played again, as it was WRONG" });
            if last {
                found.wrong.push(line);
            }
        }
    }
    load.end().await;
    if let Some(host) = scene.host.take() {
        host.stop().await?;
    }
    Ok(found)
}

impl Scene {
    async fn play(&mut self, case: &Case) -> Result<()> {
        self.quiet().await.context("before")?;
        let mut held = Held::default();
        self.provoke(&case.act, &mut held).await?;
        let told = self.told_alone(case).await;
        self.mend(held).await?;
        told?;
        self.quiet().await.context("afterwards")
    }

    /// Waits until nothing is told.
    async fn quiet(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let told = self.told().await?;
            if told.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "still told: {}", listed(&told));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Waits for the alert; meanwhile and for a while after it no other may be told.
    async fn told_alone(&self, case: &Case) -> Result<()> {
        let begun = Instant::now();
        let mut since: Option<Instant> = None;
        loop {
            let told = self.told().await?;
            let own = |alert: &Alert| {
                alert.name == case.alert && (case.blamed.is_empty() || alert.blamed == case.blamed)
            };
            let others: BTreeSet<Alert> = told.iter().filter(|alert| !own(alert)).cloned().collect();
            ensure!(
                others.is_empty(),
                "told besides, after {} s: {}",
                begun.elapsed().as_secs(),
                listed(&others)
            );
            match (told.iter().any(own), since) {
                (true, None) => since = Some(Instant::now()),
                (true, Some(at)) if at.elapsed() > HOLD => return Ok(()),
                _ => ensure!(since.is_some() || begun.elapsed() < PATIENCE, "not told within {PATIENCE:?}"),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn told(&self) -> Result<BTreeSet<Alert>> {
        let alerts = self.stack.alertmanager.alerts().await?;
        Ok(alerts.into_iter().filter(|alert| alert.told).collect())
    }

    async fn provoke(&mut self, act: &Act, held: &mut Held) -> Result<()> {
        let host = self.host.as_ref().context("no host runs")?;
        match act {
            Act::Faults(faults) => {
                for fault in *faults {
                    host.fault(&serde_json::from_str(fault)?).await?;
                }
            }
            Act::Overload { fault, input } => {
                let fault: Value = serde_json::from_str(fault)?;
                host.fault(&fault).await?;
                let text = |name: &str| fault[name].as_str().unwrap_or_default();
                let input = serde_json::from_str(input)?;
                // More than the bulkhead's 25, and not so many refusals that the host itself is busy.
                held.load = Some(Load::of_call(&self.asking, 40, text("instance"), text("operation"), input));
            }
            Act::Runs(faults) => {
                for fault in *faults {
                    host.fault(&serde_json::from_str(fault)?).await?;
                }
                held.load = Some(Load::of_users(&self.asking));
            }
            Act::Frozen(server) => held.still = Some(Still::of(server)?),
            Act::Kill => {
                self.host.take().context("no host runs")?.kill().await?;
                held.host_gone = true;
            }
            Act::Crash => {
                let fault = json!({ "name": "a", "kind": "crash" });
                host.fault(&fault).await?;
                // It dies in the middle of this, if not in that of the load.
                let _ = self.asking.flow("create-user", &new_user()).await;
                let mut host = self.host.take().context("no host runs")?;
                ensure!(host.ended_within(Duration::from_secs(10)).await, "the host did not crash");
                held.host_gone = true;
            }
            Act::NoJaeger => {
                self.stack.jaeger_runs(false).await?;
                held.jaeger_gone = true;
            }
            Act::FewFiles => {
                // Nine of ten are open by what it does anyway.
                let open = host.open_files()?;
                host.limit_files(open + open / 9)?;
            }
            Act::FullQueue => {
                host.fault(
                    &json!({ "name": "a", "kind": "latency", "latency": "1900ms", "instance": "http-api",
                    "operation": "request" }),
                )
                .await?;
                let input = json!({ "queue": slowly::QUEUE, "body": { "text": "one more" } });
                held.load = Some(Load::of_call(&self.asking, 1, "rabbitmq", "publish", input));
            }
        }
        Ok(())
    }

    /// Takes the fault away, and what it left.
    async fn mend(&mut self, mut held: Held) -> Result<()> {
        drop(held.still.take());
        if let Some(load) = held.load.take() {
            load.end().await;
        }
        if held.host_gone {
            self.host = Some(self.stack.host().await?);
        }
        if held.jaeger_gone {
            self.stack.jaeger_runs(true).await?;
        }
        let host = self.host.as_ref().context("no host runs")?;
        host.clear().await?;
        host.limit_files(FILES)?;
        let _ = self.asking.call("rabbitmq", "purge", &json!({ "queue": slowly::QUEUE })).await;
        self.resume().await
    }

    /// Stuck runs go on when somebody says so. Waits until no run goes back any more.
    async fn resume(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            for run in self.runs("stuck").await? {
                self.asking.ask(Method::POST, &format!("/v1/runs/{run}/resume"), Some(&json!({}))).await?;
            }
            if self.runs("undoing").await?.is_empty() && self.runs("stuck").await?.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "runs still go back: {:?}", self.runs("undoing").await?);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn runs(&self, state: &str) -> Result<Vec<String>> {
        let path = format!("/v1/runs?state={state}&flow=create-user&limit=500");
        let answer = self.asking.ask(Method::GET, &path, None).await?;
        let runs = answer.body["runs"].as_array().with_context(|| format!("no runs: {}", answer.body))?;
        Ok(runs.iter().filter_map(|run| run["run_id"].as_str().map(str::to_owned)).collect())
    }
}

const INSTANCES: [&str; 6] = ["postgres", "mongodb", "redis", "rabbitmq", "elasticsearch", "http-api"];
/// The limit of files when nothing is wrong with it.
const FILES: u64 = 4096;

fn listed(alerts: &BTreeSet<Alert>) -> String {
    let lines = alerts.iter().map(|alert| format!("{} {}", alert.name, alert.blamed));
    lines.collect::<Vec<_>>().join(", ")
}
