//! The journal: what a run is about to do is durable before it is done, and what came of it after. So whatever dies, the next host
//! knows how each run stands, and goes on.
//!
//! [`History`] is the fold of a run's entries, the one place that says how it stands. [`Journal`] writes, many runs in one transaction
//! (`writer`), into a [`Store`]: SQLite for one host, Postgres for several, memory for tests.

mod event;
mod failure;
mod group;
mod history;
mod lease;
mod lock;
mod memory;
mod open;
mod postgres;
mod probe;
mod queries;
mod record;
mod rows;
mod schema;
mod settings;
mod sqlite;
mod standing;
mod store;
mod writer;

pub use event::{
    Cancelled, Ended, Event, Failed, Nothing, OfStep, Reason, Reverted, Started, Succeeded, Taken,
    UndoFailed, UndoStarted, UndoSucceeded, Unit, Unreadable,
};
pub use failure::FailureRecord;
pub use history::{Corrupt, History};
pub use lease::Lease;
pub use lock::{Holder, Lock};
pub use memory::MemoryStore;
pub use open::{OpenError, Place};
pub use postgres::PostgresStore;
pub use probe::{Fate, Point, Probe};
pub use record::{Batch, Entry, EntryRow, Filter, FlowVersion, Millis, RunContext, RunRow, Turn, Verdict};
pub use settings::{Durability, Settings};
pub use sqlite::SqliteStore;
pub use store::{Answer, Claim, Store, StoreError};

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
pub use writer::Meters;
use writer::Writer;

/// Writes and reads what happens to runs, for one host. Cheap to clone.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    writer: Arc<Writer>,
    lease: Lease,
    /// Versions that are known to be kept.
    versions: Mutex<HashSet<String>>,
    /// Held while the journal is open, so that no other host opens the same file.
    lock: Option<Lock>,
}

/// Why something was not written or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// There is a run with this key.
    #[error("there is a run with this key already")]
    Duplicate,
    /// Another host has the run.
    #[error("another host has taken the run")]
    Lost,
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is not a run.
    #[error("the journal of run {run} cannot be read: {reason}")]
    Corrupt {
        /// The run.
        run: String,
        /// What is wrong with it.
        reason: Corrupt,
    },
}

/// A write on its way. It is made whether or not somebody waits for it; dropped, it only is not told.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<(), JournalError>>);

impl Journal {
    /// A journal over a store, for a host of this name.
    pub fn over(store: Arc<dyn Store>, host: &str, lease: Duration) -> Self {
        Self::with(store, Lease::new(host, lease), None)
    }

    /// A journal in memory: it is gone with the process.
    pub fn memory() -> Self {
        Self::over(Arc::new(MemoryStore::new()), "memory", Settings::default().lease.0)
    }

    fn with(store: Arc<dyn Store>, lease: Lease, lock: Option<Lock>) -> Self {
        let writer = Writer::new(store.clone());
        Self(Arc::new(Inner { store, writer, lease, versions: Mutex::default(), lock }))
    }

    /// Has every write looked at. For tests and for the fault `crash`: once, before the first write.
    pub fn observe(&self, probe: Arc<dyn Probe>) -> bool {
        self.0.writer.observer().set(probe)
    }

    /// Has its writes measured; once, before the first write.
    pub fn measure(&self, meters: Meters) {
        self.0.writer.measure(meters);
    }

    /// Writes a batch. It has its place among those of its run at once, and is durable when the receipt says so.
    pub fn submit(&self, batch: Batch) -> Receipt {
        Receipt(self.0.writer.submit(batch))
    }

    /// The store, to read from.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// This host's hold on its runs.
    pub fn lease(&self) -> &Lease {
        &self.0.lease
    }

    /// Says where this host can be asked, for whoever finds the journal taken.
    pub fn serves(&self, address: &str) {
        if let Some(lock) = &self.0.lock {
            lock.serves(address);
        }
    }

    /// Keeps a version of a flow, unless that is known to be done.
    pub async fn keep_version(
        &self,
        version: impl FnOnce() -> FlowVersion,
        hash: &str,
    ) -> Result<(), StoreError> {
        let known = |versions: &Mutex<HashSet<String>>| {
            versions.lock().unwrap_or_else(PoisonError::into_inner).contains(hash)
        };
        if !known(&self.0.versions) {
            self.0.store.keep_version(version()).await?;
            self.0.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(hash.to_owned());
        }
        Ok(())
    }

    /// Says that this host lives, and tells which of its runs are to be cancelled, and why.
    pub async fn renew(&self) -> Result<Vec<(String, String)>, StoreError> {
        let lease = &self.0.lease;
        let asked = tokio::time::Instant::now();
        let length = i64::try_from(lease.length().as_millis()).unwrap_or(i64::MAX);
        let cancelled = self.0.store.renew(lease.host(), lease.name(), length).await?;
        lease.renewed(asked);
        Ok(cancelled)
    }

    /// Takes active runs that nobody has, and those of this host's own that it let go.
    pub async fn claim(&self, own: &[String], limit: u32) -> Result<Vec<RunRow>, StoreError> {
        self.0.store.claim(Claim { host: self.0.lease.host(), own, limit }).await
    }

    /// Waits until everything that was submitted is written.
    pub async fn written(&self) {
        while !self.0.writer.is_idle() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until what was submitted before is written: whoever was answered by a run finds it. A run that only reads does not
    /// itself wait for its entries.
    pub async fn caught_up(&self) {
        let end = self.0.writer.end();
        while !self.0.writer.is_through(end) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until everything that was submitted is written, lets other hosts have what is left, and closes the store.
    pub async fn close(&self) {
        const LONGEST: Duration = Duration::from_secs(5);
        if tokio::time::timeout(LONGEST, self.written()).await.is_err() {
            tracing::warn!("the last entries of the journal could not be written in time");
        }
        if let Err(error) = self.0.store.release(self.0.lease.host()).await {
            tracing::warn!(%error, "other hosts have to wait for this one's lease to end");
        }
        self.0.store.close().await;
        if let Some(lock) = &self.0.lock {
            lock.release();
        }
    }
}

impl Future for Receipt {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|told| {
            told.unwrap_or_else(|_| Err(StoreError::of("writer", "it ended before the write").into()))
        })
    }
}
