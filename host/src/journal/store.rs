//! What a journal needs of a database.

use super::record::{Batch, EntryRow, Filter, FlowVersion, Millis, RunRow, Verdict};
use futures_util::future::BoxFuture;

/// Why the journal cannot be read or written. A later try may succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the journal {action} fails: {reason}")]
pub struct StoreError {
    /// What was tried.
    pub action: &'static str,
    /// What the database says.
    pub reason: String,
}

/// What a store answers with.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Which runs a host takes.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// The host.
    pub host: &'a str,
    /// Runs of its own that it let go.
    pub own: &'a [String],
    /// At most so many.
    pub limit: u32,
}

/// A database with a journal in it. [`super::MemoryStore`], [`super::SqliteStore`] and [`super::PostgresStore`] are the three.
pub trait Store: Send + Sync + 'static {
    /// What it is: `sqlite`.
    fn kind(&self) -> &'static str;

    /// Whether other hosts may have runs in it, so that a host can lose its own.
    fn is_shared(&self) -> bool;

    /// Whether it is still where it was, as far as that is known without asking a server.
    ///
    /// # Errors
    /// It is not: nothing is written any more.
    fn standing(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The time that its entries carry.
    fn now(&self) -> Millis {
        crate::flow::clock::now()
    }

    /// Writes all of it in one transaction, and answers for each batch, in order. The same batch written again changes nothing.
    fn commit<'a>(&'a self, batches: &'a [Batch]) -> Answer<'a, Vec<Verdict>>;

    /// Keeps a version of a flow.
    fn keep_version(&self, version: FlowVersion) -> Answer<'_, ()>;

    /// A version of a flow.
    fn version(&self, hash: String) -> Answer<'_, Option<FlowVersion>>;

    /// A run.
    fn run(&self, id: String) -> Answer<'_, Option<RunRow>>;

    /// The run of a key.
    fn run_of_key(&self, flow: String, tenant: String, key: String) -> Answer<'_, Option<RunRow>>;

    /// What happened to a run, in order.
    fn entries(&self, run: String) -> Answer<'_, Vec<EntryRow>>;

    /// Runs, newest first.
    fn list(&self, filter: Filter) -> Answer<'_, Vec<RunRow>>;

    /// How many runs are stuck, by flow.
    fn stuck(&self) -> Answer<'_, Vec<(String, i64)>>;

    /// Takes note that somebody wants a run to be cancelled; false if it has ended.
    fn cancel(&self, run: String, reason: String) -> Answer<'_, bool>;

    /// A host says that it lives, for so long; answers those of its runs that are to be cancelled.
    fn renew<'a>(&'a self, host: &'a str, name: &'a str, lease: Millis) -> Answer<'a, Vec<(String, String)>>;

    /// A host ends: others may take its runs at once.
    fn release<'a>(&'a self, host: &'a str) -> Answer<'a, ()>;

    /// Gives a host active runs that nobody has, or whose host is dead. Each has a new fence.
    fn claim<'a>(&'a self, claim: Claim<'a>) -> Answer<'a, Vec<RunRow>>;

    /// Whether nobody has taken a run from who has it by this fence.
    fn holds(&self, run: String, fence: i64) -> Answer<'_, bool>;

    /// Takes a run from whoever has it by this fence, for nobody: its fence is one more then. False if somebody was before.
    fn seize(&self, run: String, fence: i64) -> Answer<'_, bool>;

    /// Deletes runs that ended before a time, at most so many; answers how many. A part of a run is kept as long as that is, however
    /// deep it is in it: as long as something may be taken back, it can be.
    fn prune(&self, before: Millis, limit: u32) -> Answer<'_, u64>;

    /// Ends it; what is written is durable before.
    fn close(&self) -> BoxFuture<'_, ()>;
}

impl StoreError {
    /// What a database says to what was tried.
    pub fn of(action: &'static str, reason: impl ToString) -> Self {
        Self { action, reason: reason.to_string() }
    }
}
