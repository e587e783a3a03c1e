//! Random schedules: several runs at once, several faults, hosts that die at a write of the journal or anywhere else, that stand
//! still, and come back. All of it in memory, on one thread, with a clock that jumps: a seed says everything, and thousands take a
//! minute.

mod host;
mod still;
mod world;

use crate::report::{Report, Tally};
use crate::seed::Rng;
use crate::site::user;
use crate::verdict::{Run, Verdict, judge};
use crate::words;
use anyhow::{Context as _, Result};
use chassis::flow::{Flow, FlowSet};
use chassis::journal::{Filter, MemoryStore, Store};
use chassis::request::Context;
use host::{LEASE, SimHost};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;
use world::{Keyed, ROLES, Weather, World};

/// What one schedule came to.
#[derive(Debug)]
pub struct Played {
    /// What the stores hold, against what the journal says.
    pub verdict: Verdict,
    /// Runs that were stuck, and then resumed.
    pub stuck: usize,
    /// Whether enough went wrong with undo that a run could be.
    pub may_be_stuck: bool,
    /// All that happened, as one number.
    pub trace: u64,
    /// In words, for whoever looks into a failure.
    pub story: String,
}

/// When the simulated world begins: any time will do, as long as it is always the same.
const EPOCH: i64 = 1_700_000_000_000;
/// After so long every run must have ended, whatever happened: in simulated time.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Plays `count` schedules from a seed on; the first that goes wrong ends it, and its seed is said.
pub fn run(first: u64, count: usize, undo: bool, report: &Report) -> Result<Tally> {
    let flows = Arc::new(flows(undo)?);
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(usize::MAX);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let mut played = Vec::new();
        for _ in 0..workers {
            played.push(scope.spawn(|| {
                let mut tally = Tally::default();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count || failed.load(Ordering::Relaxed) < at {
                        return anyhow::Ok(tally);
                    }
                    let seed = first + at as u64;
                    let one = play(seed, &flows).with_context(|| format!("schedule of seed {seed}"))?;
                    tally.add(&one.tally());
                    if !one.is_clean() {
                        failed.fetch_min(at, Ordering::Relaxed);
                        report.wrong(
                            &format!("the schedule of seed {seed}: play it again with --seed {seed}"),
                            &one.verdict,
                            None,
                        );
                        report.progress(&one.story);
                    } else if at % 1_000 == 999 {
                        report.progress(&format!("schedules: {} of {count}", at + 1));
                    }
                }
            }));
        }
        for played in played {
            let part = played.join().map_err(|_| anyhow::anyhow!("a schedule panicked"))??;
            tally.add(&part);
        }
        anyhow::Ok(())
    })?;
    Ok(tally)
}

/// The shipped create-user; without its undo, where the check is to fail.
pub fn flows(undo: bool) -> Result<FlowSet> {
    let text = std::fs::read_to_string(words::shipped().join("create-user.toml"))?;
    let text = if undo { text } else { words::strip(&text)? };
    let mut flows = FlowSet::default();
    flows.insert(Flow::parse("create-user", "create-user.toml", &text)?);
    Ok(flows)
}

/// Plays one.
pub fn play(seed: u64, flows: &FlowSet) -> Result<Played> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(schedule(seed, flows)))
}

impl Played {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.verdict.clean(0) && (self.stuck == 0 || self.may_be_stuck)
    }

    fn tally(&self) -> Tally {
        let expected = if self.may_be_stuck { self.stuck } else { 0 };
        Tally { cells: 1, stuck: self.stuck, stuck_expected: expected, ..Tally::of(&self.verdict) }
    }
}

/// One user that somebody wants, and how stubbornly.
#[derive(Clone)]
struct Wish {
    number: u64,
    key: Option<String>,
    host: usize,
    at: Duration,
}

async fn schedule(seed: u64, flows: &FlowSet) -> Played {
    let mut rng = Rng::new(seed);
    let weather = weather(&mut rng);
    let mut story = format!("{weather:?}");
    let world = Arc::new(World::new(rng.number(), weather.clone()));
    let store = MemoryStore::beginning(EPOCH);
    let hosts = rng.between(1, 3) as usize;
    let mut living = Vec::new();
    for name in 0..hosts {
        living.push(Arc::new(SimHost::start(&format!("host-{name}"), flows, &world, &store).await));
    }
    let mut asking = JoinSet::new();
    for wish in wishes(&mut rng, hosts) {
        story.push_str(&format!(
            "\n{:?} user {} of host {} with key {:?}",
            wish.at, wish.number, wish.host, wish.key
        ));
        let host = living[wish.host].clone();
        asking.spawn(async move {
            sleep(wish.at).await;
            let context =
                Context { idempotency_key: wish.key.as_deref().map(Arc::from), ..Context::default() };
            // Whoever is not answered gives up: what becomes of the run does not hang on it.
            let _ = host.engine.run("create-user", user(wish.number), context).await;
        });
    }
    let mut at = Duration::ZERO;
    for _ in 0..rng.between(0, 5) {
        let which = rng.between(0, hosts as u64 - 1) as usize;
        let wait = Duration::from_millis(rng.between(1, 900));
        sleep(wait).await;
        at += wait;
        let host = &living[which];
        match rng.between(0, 3) {
            0 => {
                story.push_str(&format!("\n{at:?} host {which} is killed"));
                host.kill();
            }
            1 | 2 => {
                let (nth, after) = (rng.between(1, 12), rng.percent(50));
                story.push_str(&format!(
                    "\n{at:?} host {which} dies {} write {nth}",
                    if after { "after" } else { "before" }
                ));
                host.kill_at(nth, after);
                for _ in 0..rng.between(1, 400) {
                    if host.is_dead() {
                        break;
                    }
                    sleep(Duration::from_millis(5)).await;
                    at += Duration::from_millis(5);
                }
                host.kill();
            }
            _ => {
                let long = Duration::from_millis(rng.between(100, 12_000));
                story.push_str(&format!("\n{at:?} host {which} stands still for {long:?}"));
                host.stand_still(true);
                sleep(long).await;
                at += long;
                host.stand_still(false);
                continue;
            }
        }
        let away = Duration::from_millis(rng.between(0, 9_000));
        sleep(away).await;
        at += away;
        story.push_str(&format!("\n{at:?} host {which} is back"));
        living[which] = Arc::new(SimHost::start(&format!("host-{which}"), flows, &world, &store).await);
    }
    sleep(weather.clears.saturating_sub(at)).await;
    let stuck = settle(&living, &store).await;
    asking.abort_all();
    let runs = runs(&store).await;
    let verdict = judge(&world.snapshot(), &runs);
    living.iter().for_each(|host| host.kill());
    // A run is stuck after ten tries of one undo, and not before.
    let may_be_stuck = world.undo_failed() >= 10 * stuck as u64;
    Played { verdict, stuck, may_be_stuck, trace: world.trace(), story }
}

fn weather(rng: &mut Rng) -> Weather {
    const SHARES: [u64; 4] = [0, 4, 15, 40];
    let mut share = || SHARES[rng.between(0, 3) as usize];
    let (forward, undo) = (share(), share());
    let outage = rng.percent(25).then(|| {
        let role = ROLES[rng.between(0, 4) as usize];
        let from = rng.between(0, 500);
        let long = rng.between(500, 60_000);
        (role, Duration::from_millis(from), Duration::from_millis(from + long))
    });
    const KEYED: [Keyed; 3] = [Keyed::Not, Keyed::Remembers, Keyed::Unique];
    let keyed = [(); 5].map(|()| KEYED[rng.between(0, 2) as usize]);
    Weather { forward, undo, outage, clears: Duration::from_secs(rng.between(5, 90)), keyed }
}

fn wishes(rng: &mut Rng, hosts: usize) -> Vec<Wish> {
    let mut wishes = Vec::new();
    for _ in 0..rng.between(1, 8) {
        let wish = Wish {
            // Now and then two want the same e-mail: one of them is undone.
            number: rng.between(1, 8),
            key: rng.percent(50).then(|| format!("key-{}", rng.number())),
            host: rng.between(0, hosts as u64 - 1) as usize,
            at: Duration::from_millis(rng.between(0, 1_500)),
        };
        // A client that asks another host with the same key, at the same time or a little later.
        if wish.key.is_some() && rng.percent(40) {
            let host = rng.between(0, hosts as u64 - 1) as usize;
            let at = wish.at + Duration::from_millis(rng.between(0, 1) * rng.between(0, 800));
            wishes.push(Wish { host, at, ..wish.clone() });
        }
        wishes.push(wish);
    }
    wishes
}

/// Waits until no run is open; a stuck one is resumed, as a person would who has seen to it that all is well. Answers how many were.
async fn settle(living: &[Arc<SimHost>], store: &MemoryStore) -> usize {
    let (mut waited, mut stuck) = (Duration::ZERO, 0);
    while waited < PATIENCE {
        sleep(LEASE).await;
        waited += LEASE;
        let runs = store.list(Filter { limit: 1_000, ..Filter::default() }).await.unwrap_or_default();
        if runs.iter().all(|run| run.state.is_ended()) {
            break;
        }
        for run in runs.iter().filter(|run| !run.state.is_ended() && !run.state.is_active()) {
            stuck += 1;
            if let Some(host) = living.first() {
                let _ = host.engine.runs().resume(&run.id).await;
            }
        }
    }
    stuck
}

async fn runs(store: &MemoryStore) -> Vec<Run> {
    let rows = store.list(Filter { limit: 1_000, ..Filter::default() }).await.unwrap_or_default();
    rows.iter().map(|row| Run { id: row.id.to_string(), state: still::state(row.state) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_everything() {
        let flows = flows(true).unwrap();
        for seed in [1, 17, 4711] {
            let (one, other) = (play(seed, &flows).unwrap(), play(seed, &flows).unwrap());
            assert_eq!(one.trace, other.trace, "seed {seed}");
        }
        assert_ne!(play(1, &flows).unwrap().trace, play(2, &flows).unwrap().trace);
    }
}
