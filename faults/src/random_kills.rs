//! Two hosts on one journal in Postgres, a steady load, and one of them killed again and again at a random moment. Whoever is not
//! answered asks the other host with the same idempotency key, as a client would. Somebody reads the queue, as in any house that has one.

use crate::host::Host;
use crate::report::{Report, Tally};
use crate::seed::Rng;
use crate::site::{Options, Servers, Site, user};
use crate::stores::{Message, Urls, broker};
use anyhow::{Context, Result, ensure};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::RwLock;
use tokio::task::JoinSet;

/// How often one of the two is killed.
pub const KILLS: usize = 100;
/// Runs that are asked for, a second.
const RATE: u64 = 200;
/// More than these are not kept waiting: a machine that cannot keep up is not asked for more.
const IN_FLIGHT: usize = 400;
/// Calls of one instance at the same time: whoever waited for a dead host comes to the other one at once.
const BULKHEAD: u32 = 100;
/// How often the queue is read.
const READ: Duration = Duration::from_secs(2);
/// One run in twenty goes back by itself, so that kills meet undo too.
const EXTRA: &str = "[[faults]]\nname = \"now-and-then\"\nkind = \"error\"\ncode = \"failed_precondition\"\n\
    instance = \"search\"\noperation = \"index\"\nprobability = 0.05\n\n";

/// Two hosts that come and go.
struct Pair {
    hosts: [RwLock<Option<Arc<Host>>>; 2],
}

struct Load {
    pair: Pair,
    over: AtomicBool,
    asked: AtomicU64,
    in_flight: AtomicUsize,
    answered: AtomicU64,
    held_back: AtomicU64,
    /// The messages of runs that completed. Those may be read: no undo wants them back.
    sent: Mutex<HashSet<String>>,
}

/// Runs it; the tally's cells are the kills.
pub async fn run(kills: usize, seed: u64, options: &Options, report: &Report) -> Result<Tally> {
    let options = Options {
        shared_journal: true,
        extra: EXTRA.to_owned(),
        attempt_timeout: Some(Duration::from_secs(2)),
        bulkhead: Some(BULKHEAD),
        ..options.clone()
    };
    let site = Site::new(Servers::Real, &options).await?;
    let first = site.first_host().await?;
    let second = site.host("second").await?;
    let load = Arc::new(Load {
        pair: Pair { hosts: [RwLock::new(Some(Arc::new(first))), RwLock::new(Some(Arc::new(second)))] },
        over: AtomicBool::new(false),
        asked: AtomicU64::new(0),
        in_flight: AtomicUsize::new(0),
        answered: AtomicU64::new(0),
        held_back: AtomicU64::new(0),
        sent: Mutex::default(),
    });
    let begun = Instant::now();
    let asking = tokio::spawn(ask_on(load.clone()));
    let reading = tokio::spawn(read_on(load.clone(), Urls::from_environment()?.rabbitmq));
    let mut rng = Rng::new(seed);
    for kill in 1..=kills {
        tokio::time::sleep(Duration::from_millis(rng.between(50, 900))).await;
        let which = rng.between(0, 1) as usize;
        load.pair.kill(which).await?;
        // Now and then it stays away for longer than its lease, so that the other one must take over.
        let away = if kill % 10 == 0 { 6_500 } else { rng.between(0, 300) };
        tokio::time::sleep(Duration::from_millis(away)).await;
        let host =
            site.host(["host", "second"][which]).await.with_context(|| format!("after kill {kill}"))?;
        *load.pair.hosts[which].write().await = Some(Arc::new(host));
        report.progress(&format!(
            "random: kill {kill} of {kills}, {:.0} runs a second answered, {} in flight",
            load.answered.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64(),
            load.in_flight.load(Ordering::Relaxed)
        ));
    }
    let lasted = begun.elapsed().as_secs_f64();
    let rates = [&load.asked, &load.answered].map(|count| count.load(Ordering::Relaxed) as f64 / lasted);
    report.progress(&format!(
        "random: of {RATE} runs a second {:.0} were asked for in {lasted:.0} s, and {:.0} answered",
        rates[0], rates[1]
    ));
    load.over.store(true, Ordering::Relaxed);
    asking.await?;
    let delivered = reading.await??;
    let answered = load.answered.load(Ordering::Relaxed);
    let held_back = load.held_back.load(Ordering::Relaxed);
    let verdict = site.verdict_with(delivered).await?;
    report.progress(&format!(
        "random: {answered} runs answered in {:.0} s, {held_back} held back as the machine could not keep up",
        begun.elapsed().as_secs_f64()
    ));
    ensure!(verdict.completed > 0 && verdict.undone > 0, "the load did not go both ways: {verdict:?}");
    if !verdict.clean(0) {
        report.wrong("random kills", &verdict, Some(site.folder()));
        site.keep();
    }
    Ok(Tally { cells: kills, ..Tally::of(&verdict) })
}

impl Load {
    fn sent(&self) -> MutexGuard<'_, HashSet<String>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pair {
    async fn kill(&self, which: usize) -> Result<()> {
        let host = self.hosts[which].write().await.take().context("it is gone already")?;
        host.kill_now()
    }

    async fn host(&self, number: u64) -> Option<Arc<Host>> {
        let (one, other) = (number as usize % 2, (number as usize + 1) % 2);
        match self.hosts[one].read().await.clone() {
            Some(host) => Some(host),
            None => self.hosts[other].read().await.clone(),
        }
    }
}

/// Asks for runs at a steady rate, whatever becomes of them.
async fn ask_on(load: Arc<Load>) {
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    let mut asked = JoinSet::new();
    while !load.over.load(Ordering::Relaxed) {
        tick.tick().await;
        while asked.try_join_next().is_some() {}
        if load.in_flight.load(Ordering::Relaxed) >= IN_FLIGHT {
            load.held_back.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        load.in_flight.fetch_add(1, Ordering::Relaxed);
        let number = load.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let load = load.clone();
        asked.spawn(async move {
            ask(&load, number).await;
            load.in_flight.fetch_sub(1, Ordering::Relaxed);
        });
    }
    asked.join_all().await;
}

/// Reads what may be read of the queue, again and again; answers with all of it.
async fn read_on(load: Arc<Load>, url: String) -> Result<Vec<Message>> {
    let mut delivered = Vec::new();
    while !load.over.load(Ordering::Relaxed) {
        tokio::time::sleep(READ).await;
        let sent = load.sent().clone();
        delivered.extend(broker::take(&url, |id| sent.contains(id)).await.context("reading the queue")?);
    }
    Ok(delivered)
}

/// Asks until there is an answer: a host that dies is asked no more, the other one with the same key.
async fn ask(load: &Load, number: u64) {
    let (input, key) = (user(number), format!("user-{number}"));
    for attempt in 0..40 {
        if let Some(host) = load.pair.host(number + attempt).await
            && let Ok((status, answer)) = host.flow("create-user", &input, Some(&key)).await
            // Another host has it, or is too busy: it is asked again. What names its run tells how that ended, whatever the status.
            && (!matches!(status, 409 | 429 | 503) || answer["run"]["state"].is_string())
        {
            load.answered.fetch_add(1, Ordering::Relaxed);
            if let (200, Some(message)) = (status, answer["message_id"].as_str()) {
                load.sent().insert(message.to_owned());
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
