//! The journal's store, as a host sees it that may stand still: every answer waits until it goes on.

use super::host::moving;
use chassis::flow::RunState;
use chassis::journal::{
    Answer, Batch, Claim, EntryRow, Filter, FlowVersion, MemoryStore, Millis, RunRow, Store as Inner, Verdict,
};
use futures_util::future::BoxFuture;
use tokio::sync::watch;

/// A store behind which its host may stand still.
pub struct Store {
    inner: MemoryStore,
    still: watch::Receiver<bool>,
}

impl Store {
    /// Over the one that all hosts share.
    pub fn new(inner: MemoryStore, still: watch::Receiver<bool>) -> Self {
        Self { inner, still }
    }

    /// What is sent is done, and the answer is read when the host goes on.
    fn late<'a, T: Send + 'a>(&'a self, answer: Answer<'a, T>) -> Answer<'a, T> {
        let mut still = self.still.clone();
        Box::pin(async move {
            moving(&mut still).await;
            let answer = answer.await;
            moving(&mut still).await;
            answer
        })
    }
}

impl Inner for Store {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn now(&self) -> Millis {
        self.inner.now()
    }

    fn commit<'a>(&'a self, batches: &'a [Batch]) -> Answer<'a, Vec<Verdict>> {
        self.late(self.inner.commit(batches))
    }

    fn keep_version(&self, version: FlowVersion) -> Answer<'_, ()> {
        self.late(self.inner.keep_version(version))
    }

    fn version(&self, hash: String) -> Answer<'_, Option<FlowVersion>> {
        self.late(self.inner.version(hash))
    }

    fn run(&self, id: String) -> Answer<'_, Option<RunRow>> {
        self.late(self.inner.run(id))
    }

    fn run_of_key(&self, flow: String, tenant: String, key: String) -> Answer<'_, Option<RunRow>> {
        self.late(self.inner.run_of_key(flow, tenant, key))
    }

    fn entries(&self, run: String) -> Answer<'_, Vec<EntryRow>> {
        self.late(self.inner.entries(run))
    }

    fn list(&self, filter: Filter) -> Answer<'_, Vec<RunRow>> {
        self.late(self.inner.list(filter))
    }

    fn stuck(&self) -> Answer<'_, Vec<(String, i64)>> {
        self.late(self.inner.stuck())
    }

    fn cancel(&self, run: String, reason: String) -> Answer<'_, bool> {
        self.late(self.inner.cancel(run, reason))
    }

    fn renew<'a>(&'a self, host: &'a str, name: &'a str, lease: Millis) -> Answer<'a, Vec<(String, String)>> {
        self.late(self.inner.renew(host, name, lease))
    }

    fn release<'a>(&'a self, host: &'a str) -> Answer<'a, ()> {
        self.late(self.inner.release(host))
    }

    fn claim<'a>(&'a self, claim: Claim<'a>) -> Answer<'a, Vec<RunRow>> {
        self.late(self.inner.claim(claim))
    }

    fn holds(&self, run: String, fence: i64) -> Answer<'_, bool> {
        self.late(self.inner.holds(run, fence))
    }

    fn seize(&self, run: String, fence: i64) -> Answer<'_, bool> {
        self.late(self.inner.seize(run, fence))
    }

    fn prune(&self, before: Millis, limit: u32) -> Answer<'_, u64> {
        self.late(self.inner.prune(before, limit))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

/// As the comparison knows it.
pub fn state(state: RunState) -> crate::verdict::State {
    match state {
        RunState::Completed => crate::verdict::State::Completed,
        RunState::Undone | RunState::Cancelled => crate::verdict::State::Undone,
        RunState::Stuck => crate::verdict::State::Stuck,
        RunState::Running | RunState::Undoing => crate::verdict::State::Open,
    }
}
