//! What a flow costs: create-user on the six real servers, with a durable journal, against the same five calls without a flow, and
//! against the drivers called directly, one call after the other. All in one run, round by round.

mod drivers;
mod ours;
mod user;

use crate::boundary::plugins_dir;
use crate::load::rate_for;
use crate::stats::{median, rounded};
use anyhow::Result;
use chassis_faults::stores::{Stores, Urls};
use drivers::Drivers;
use ours::Ours;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use user::User;

/// At least five, as a median of fewer says little.
const ROUNDS: usize = 5;
/// Long enough for a batch of everything to come and go many times.
const SLICE: Duration = Duration::from_millis(1_500);
/// Steps of create-user.
const STEPS: f64 = 5.0;

/// One round of one host: runs or sets of calls, a second.
#[derive(Default)]
struct Rounds {
    flow_c1: Vec<f64>,
    flow_c32: Vec<f64>,
    calls_c1: Vec<f64>,
    calls_c32: Vec<f64>,
    vs_drivers_c1: Vec<f64>,
    vs_drivers_c32: Vec<f64>,
    step_us_c32: Vec<f64>,
    step_us_c1: Vec<f64>,
    cpu_us: Vec<f64>,
}

/// Runs all of it.
pub fn run(json: bool) -> Result<()> {
    let say = |line: String| if json { eprintln!("{line}") } else { println!("{line}") };
    plugins_dir()?;
    // reqwest is built without a provider of cryptography, and none of the servers needs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let line = runtime.block_on(measure(&say))?;
    if json {
        println!("{line}");
    }
    Ok(())
}

async fn measure(say: &impl Fn(String)) -> Result<Value> {
    let urls = Urls::from_environment()?;
    let stores = Stores::Real(Box::new(urls.clone()));
    stores.wipe().await?;
    let (gathered, single) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let with = Arc::new(Ours::start(gathered.path(), true).await?);
    let without = Arc::new(Ours::start(single.path(), false).await?);
    with.set_up().await?;
    let (drivers, connection) = Drivers::connect(&urls).await?;
    let mut rounds: [Rounds; 2] = Default::default();
    let mut direct: [Vec<f64>; 2] = Default::default();
    for round in 0..=ROUNDS {
        let driver = [by_drivers(SLICE, &drivers, 1).await?, by_drivers(SLICE, &drivers, 32).await?];
        let mut measured = Vec::new();
        for ours in [&with, &without] {
            let calls = [by_calls(SLICE, ours, 1).await?, by_calls(SLICE, ours, 32).await?];
            let flow_c1 = by_flow(SLICE, ours, 1).await?.0;
            measured.push((calls, flow_c1, by_flow(SLICE, ours, 32).await?));
        }
        // The first round fills pools and caches.
        if round == 0 {
            continue;
        }
        direct.iter_mut().zip(driver).for_each(|(all, one)| all.push(one));
        for (rounds, (calls, flow_c1, (flow_c32, cpu))) in rounds.iter_mut().zip(measured) {
            rounds.take(driver, calls, [flow_c1, flow_c32], cpu);
        }
        say(format!("round {round} of {ROUNDS} done"));
    }
    connection.close(200, "done".into()).await?;
    let [driver_c1, driver_c32] = direct.each_ref().map(|all| median(all));
    say(format!(
        "drivers, one call after the other      {driver_c1:>7.0}/s at 1   {driver_c32:>7.0}/s at 32"
    ));
    let mut line = Map::new();
    for (rounds, (title, suffix)) in rounds.iter().zip([("gathered", ""), ("not gathered", "_uncoalesced")]) {
        say(rounds.text(title));
        line.extend(rounds.members(suffix));
    }
    line.insert("drivers_per_s_c1".to_owned(), json!(rounded(driver_c1)));
    line.insert("drivers_per_s_c32".to_owned(), json!(rounded(driver_c32)));
    line.insert("journal".to_owned(), json!("sqlite"));
    for ours in [with, without] {
        if let Some(ours) = Arc::into_inner(ours) {
            ours.app.stop().await;
        }
    }
    stores.wipe().await?;
    Ok(Value::Object(line))
}

impl Rounds {
    fn take(&mut self, driver: [f64; 2], calls: [f64; 2], flow: [f64; 2], cpu_us: f64) {
        // A run's share of the time, less that of its bare calls.
        let step = |at: usize| (1e6 / flow[at] - 1e6 / calls[at]) / STEPS;
        self.step_us_c1.push(step(0));
        self.step_us_c32.push(step(1));
        self.flow_c1.push(flow[0]);
        self.flow_c32.push(flow[1]);
        self.calls_c1.push(calls[0]);
        self.calls_c32.push(calls[1]);
        self.vs_drivers_c1.push(flow[0] / driver[0]);
        self.vs_drivers_c32.push(flow[1] / driver[1]);
        self.cpu_us.push(cpu_us);
    }

    fn members(&self, suffix: &str) -> Vec<(String, Value)> {
        [
            ("step_overhead_us", &self.step_us_c32),
            ("step_overhead_us_c1", &self.step_us_c1),
            ("create_user_per_s_c1", &self.flow_c1),
            ("create_user_per_s_c32", &self.flow_c32),
            ("calls_only_per_s_c1", &self.calls_c1),
            ("calls_only_per_s_c32", &self.calls_c32),
            ("vs_drivers_c1", &self.vs_drivers_c1),
            ("vs_drivers_c32", &self.vs_drivers_c32),
            ("client_cpu_us_per_run", &self.cpu_us),
        ]
        .map(|(name, values)| (format!("{name}{suffix}"), json!(rounded(median(values)))))
        .to_vec()
    }

    fn text(&self, title: &str) -> String {
        let [flow_c1, flow_c32] = [&self.flow_c1, &self.flow_c32].map(|values| median(values));
        let [calls_c1, calls_c32] = [&self.calls_c1, &self.calls_c32].map(|values| median(values));
        let [c1, c32] = [&self.vs_drivers_c1, &self.vs_drivers_c32].map(|values| median(values));
        format!(
            "calls without a flow, {title:<16} {calls_c1:>7.0}/s at 1   {calls_c32:>7.0}/s at 32\n\
             create-user, {title:<25} {flow_c1:>7.0}/s at 1   {flow_c32:>7.0}/s at 32   ratio to drivers {c1:.2} and {c32:.2}\n\
             a step adds {:.0} us at 32, {:.0} us at 1; {:.0} us of this process's CPU a run",
            median(&self.step_us_c32),
            median(&self.step_us_c1),
            median(&self.cpu_us),
        )
    }
}

async fn by_drivers(slice: Duration, drivers: &Drivers, width: u64) -> Result<f64> {
    let drivers = drivers.clone();
    rate_for(slice, width, move |_| {
        let drivers = drivers.clone();
        async move { drivers.create_user(&User::next()).await }
    })
    .await
}

async fn by_calls(slice: Duration, ours: &Arc<Ours>, width: u64) -> Result<f64> {
    let calls = ours.calls.clone();
    rate_for(slice, width, move |_| {
        let calls = calls.clone();
        async move { calls.create_user(&User::next()).await }
    })
    .await
}

/// Runs a second, and the CPU time of this process for each, in microseconds.
async fn by_flow(slice: Duration, ours: &Arc<Ours>, width: u64) -> Result<(f64, f64)> {
    let before = cpu();
    let begun = std::time::Instant::now();
    let running = ours.clone();
    let rate = rate_for(slice, width, move |_| {
        let ours = running.clone();
        async move { ours.flow("create-user", User::next().input()).await }
    })
    .await?;
    let runs = rate * begun.elapsed().as_secs_f64();
    Ok((rate, (cpu() - before).as_secs_f64() * 1e6 / runs))
}

/// What this process has used, on all its threads.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// One side alone, for a profiler, 32 at a time: users a second.
pub async fn spin(what: &str, slice: Duration) -> Result<f64> {
    let urls = Urls::from_environment()?;
    let stores = Stores::Real(Box::new(urls.clone()));
    stores.wipe().await?;
    let folder = tempfile::tempdir()?;
    let ours = Arc::new(Ours::start(folder.path(), true).await?);
    ours.set_up().await?;
    let rate = match what {
        "drivers" => by_drivers(slice, &Drivers::connect(&urls).await?.0, 32).await,
        "calls" => by_calls(slice, &ours, 32).await,
        _ => by_flow(slice, &ours, 32).await.map(|(rate, _)| rate),
    };
    for line in ours.app.telemetry.prometheus().lines() {
        if line.starts_with("chassis_journal_write_duration_seconds_count")
            || (line.starts_with("chassis_calls_total") && !line.ends_with(" 0"))
        {
            eprintln!("{line}");
        }
    }
    stores.wipe().await?;
    rate
}
