//! Group commit: what several runs want to write at the same time is written in one transaction. There is no timer: while one
//! transaction is under way, what comes waits for the next; whoever comes alone is written at once, after those who are ready to run.

use super::JournalError;
use super::probe::{Fate, Observer};
use super::record::{Batch, Verdict};
use super::store::{Store, StoreError};
use metrics::{Counter, Histogram};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// What came of a write.
pub(super) type Outcome = Result<(), JournalError>;

pub(super) struct Writer {
    store: Arc<dyn Store>,
    observer: Observer,
    meters: OnceLock<Meters>,
    queue: Mutex<Queue>,
}

/// What is counted of writes.
pub struct Meters {
    /// `chassis_journal_write_duration_seconds`
    pub written: Histogram,
    /// `chassis_journal_write_failures_total`
    pub failures: Counter,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Batch, oneshot::Sender<Outcome>)>,
    /// Batches that ever came, and those of them that are through, written or not.
    came: u64,
    through: u64,
    /// Whether somebody is writing.
    busy: bool,
    /// A probe said so.
    dead: bool,
    /// Those who are never told, as if the process had ended while they waited.
    untold: Vec<oneshot::Sender<Outcome>>,
}

/// Batches of one transaction. More would only make the others wait longer.
const GROUP: usize = 256;
/// How long a write is tried again before those who wait are told.
const PATIENCE: Duration = Duration::from_secs(3);
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

impl Writer {
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            observer: Observer::default(),
            meters: OnceLock::new(),
            queue: Mutex::default(),
        })
    }

    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    pub fn measure(&self, meters: Meters) {
        let _ = self.meters.set(meters);
    }

    /// Puts a batch in the queue. Batches are written in the order in which they come.
    pub fn submit(self: &Arc<Self>, batch: Batch) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        let mut queue = self.queue();
        queue.waiting.push_back((batch, sender));
        queue.came += 1;
        if !queue.busy && !queue.dead {
            queue.busy = true;
            tokio::spawn(self.clone().write());
        }
        receiver
    }

    /// Whether nothing is waiting or under way.
    pub fn is_idle(&self) -> bool {
        let queue = self.queue();
        !queue.busy && queue.waiting.is_empty()
    }

    /// Where the queue ends now, for [`Writer::is_through`].
    pub fn end(&self) -> u64 {
        self.queue().came
    }

    /// Whether all that was in the queue before `end` is through, or never will be.
    pub fn is_through(&self, end: u64) -> bool {
        let queue = self.queue();
        queue.through >= end || queue.dead
    }

    async fn write(self: Arc<Self>) {
        let mut last = 0;
        loop {
            // Runs that are ready to go on may do so first: what they have to write then goes along.
            tokio::task::yield_now().await;
            let (mut batches, mut waiting) = (Vec::new(), Vec::new());
            {
                let mut queue = self.queue();
                queue.through += last;
                let count = queue.waiting.len().min(GROUP);
                last = count as u64;
                if count == 0 {
                    queue.busy = false;
                    return;
                }
                for (batch, sender) in queue.waiting.drain(..count) {
                    batches.push(batch);
                    waiting.push(sender);
                }
            }
            if self.observer.before() == Fate::Die {
                return self.die(waiting);
            }
            let written = self.commit(&batches).await;
            if self.observer.after() == Fate::Die {
                return self.die(waiting);
            }
            match written {
                Ok(verdicts) => {
                    for (sender, verdict) in waiting.into_iter().zip(verdicts) {
                        // Nobody waits for what only has to be durable some time.
                        let _ = sender.send(match verdict {
                            Verdict::Written => Ok(()),
                            Verdict::Duplicate => Err(JournalError::Duplicate),
                            Verdict::Lost => Err(JournalError::Lost),
                        });
                    }
                }
                Err(error) => {
                    tracing::error!(%error, batches = batches.len(), "the journal cannot be written");
                    // What waits behind may go on from what failed, and must not be written without it. It is told while the queue
                    // is held, so that a run which submits more has heard of it.
                    let mut queue = self.queue();
                    last += queue.waiting.len() as u64;
                    waiting.extend(queue.waiting.drain(..).map(|(_, sender)| sender));
                    for sender in waiting {
                        let _ = sender.send(Err(JournalError::Store(error.clone())));
                    }
                }
            }
        }
    }

    /// Tries again for a while: the same batch written twice changes nothing.
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, StoreError> {
        let begun = Instant::now();
        let mut wait = FIRST_WAIT;
        loop {
            let tried = Instant::now();
            let done = self.store.commit(batches).await;
            match (self.meters.get(), &done) {
                (Some(meters), Ok(_)) => meters.written.record(tried.elapsed().as_secs_f64()),
                (Some(meters), Err(_)) => meters.failures.increment(1),
                (None, _) => {}
            }
            match done {
                Err(error) if begun.elapsed() < PATIENCE => {
                    tracing::warn!(%error, "the journal is written again");
                    sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                done => return done,
            }
        }
    }

    /// As if the process had ended: those who wait are never told, and nothing more is written.
    fn die(&self, waiting: Vec<oneshot::Sender<Outcome>>) {
        let mut queue = self.queue();
        queue.dead = true;
        queue.untold.extend(waiting);
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
