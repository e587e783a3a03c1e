//! A journal in memory: for hosts that need not survive, and for simulation. It has no threads and no clock but tokio's, so that a run
//! over it is the same every time. Clones share it, as hosts share a database.

use super::record::{Batch, EntryRow, Filter, FlowVersion, Millis, RunRow, Verdict};
use super::store::{Answer, Claim, Store};
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// A journal in memory. Cheap to clone; clones are the same journal.
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    begun: Instant,
    epoch: Millis,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    runs: BTreeMap<Arc<str>, RunRow>,
    keys: HashMap<(String, String, String), Arc<str>>,
    entries: HashMap<Arc<str>, Vec<EntryRow>>,
    versions: HashMap<String, FlowVersion>,
    /// Until when each host lives.
    hosts: HashMap<String, Millis>,
}

impl MemoryStore {
    /// An empty one, whose time begins now.
    pub fn new() -> Self {
        Self::beginning(crate::flow::clock::now())
    }

    /// An empty one, whose time begins at `epoch`.
    pub fn beginning(epoch: Millis) -> Self {
        Self(Arc::new(Inner { begun: Instant::now(), epoch, tables: Mutex::default() }))
    }

    /// All of it: every run with its entries, oldest first.
    pub fn dump(&self) -> Vec<(RunRow, Vec<EntryRow>)> {
        let tables = self.tables();
        let entries = |id: &Arc<str>| tables.entries.get(id).cloned().unwrap_or_default();
        tables.runs.iter().map(|(id, row)| (row.clone(), entries(id))).collect()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers after the others had their turn, as a database would.
    fn answer<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce(&mut Tables, Millis) -> T + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(work(&mut self.tables(), self.now()))
        })
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Tables {
    fn write(&mut self, batch: &Batch) -> Verdict {
        if let Some(new) = &batch.new
            && !self.runs.contains_key(&batch.run)
        {
            if let Some(key) = &new.key {
                let key = (new.flow.clone(), new.tenant.clone(), key.clone());
                if self.keys.contains_key(&key) {
                    return Verdict::Duplicate;
                }
                self.keys.insert(key, batch.run.clone());
            }
            self.runs.insert(batch.run.clone(), RunRow::clone(new));
        }
        let Some(row) = self.runs.get_mut(&batch.run).filter(|row| row.fence == batch.fence) else {
            return Verdict::Lost;
        };
        let entries = self.entries.entry(batch.run.clone()).or_default();
        let last = entries.last().map_or(0, |entry| entry.seq);
        entries.extend(batch.entries.iter().filter(|entry| entry.seq > last).cloned());
        if let Some(turn) = &batch.turn {
            row.turn(turn);
        }
        Verdict::Written
    }

    fn is_dead(&self, host: Option<&String>, now: Millis) -> bool {
        host.is_none_or(|host| self.hosts.get(host).is_none_or(|until| *until < now))
    }
}

impl Store for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn now(&self) -> Millis {
        self.0.epoch + i64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn commit<'a>(&'a self, batches: &'a [Batch]) -> Answer<'a, Vec<Verdict>> {
        self.answer(move |tables, _| batches.iter().map(|batch| tables.write(batch)).collect())
    }

    fn keep_version(&self, version: FlowVersion) -> Answer<'_, ()> {
        self.answer(move |tables, _| {
            tables.versions.entry(version.hash.clone()).or_insert(version);
        })
    }

    fn version(&self, hash: String) -> Answer<'_, Option<FlowVersion>> {
        self.answer(move |tables, _| tables.versions.get(&hash).cloned())
    }

    fn run(&self, id: String) -> Answer<'_, Option<RunRow>> {
        self.answer(move |tables, _| tables.runs.get(id.as_str()).cloned())
    }

    fn run_of_key(&self, flow: String, tenant: String, key: String) -> Answer<'_, Option<RunRow>> {
        self.answer(move |tables, _| {
            let id = tables.keys.get(&(flow, tenant, key))?;
            tables.runs.get(id).cloned()
        })
    }

    fn entries(&self, run: String) -> Answer<'_, Vec<EntryRow>> {
        self.answer(move |tables, _| tables.entries.get(run.as_str()).cloned().unwrap_or_default())
    }

    fn list(&self, filter: Filter) -> Answer<'_, Vec<RunRow>> {
        self.answer(move |tables, _| {
            let runs = tables.runs.values().rev().filter(|run| filter.takes(run));
            runs.take(filter.limit as usize).cloned().collect()
        })
    }

    fn stuck(&self) -> Answer<'_, Vec<(String, i64)>> {
        self.answer(|tables, _| {
            let mut stuck: BTreeMap<String, i64> = BTreeMap::new();
            for run in tables.runs.values().filter(|run| run.ended.is_none() && !run.state.is_active()) {
                *stuck.entry(run.flow.clone()).or_default() += 1;
            }
            stuck.into_iter().collect()
        })
    }

    fn cancel(&self, run: String, reason: String) -> Answer<'_, bool> {
        self.answer(move |tables, _| match tables.runs.get_mut(run.as_str()) {
            Some(run) if run.ended.is_none() => {
                run.cancel = Some(reason);
                true
            }
            _ => false,
        })
    }

    fn renew<'a>(&'a self, host: &'a str, _: &'a str, lease: Millis) -> Answer<'a, Vec<(String, String)>> {
        self.answer(move |tables, now| {
            tables.hosts.insert(host.to_owned(), now + lease);
            let own =
                tables.runs.values().filter(|run| run.ended.is_none() && run.owner.as_deref() == Some(host));
            own.filter_map(|run| Some((run.id.to_string(), run.cancel.clone()?))).collect()
        })
    }

    fn release<'a>(&'a self, host: &'a str) -> Answer<'a, ()> {
        self.answer(move |tables, _| {
            tables.hosts.remove(host);
        })
    }

    fn claim<'a>(&'a self, claim: Claim<'a>) -> Answer<'a, Vec<RunRow>> {
        self.answer(move |tables, now| {
            let wanted = |run: &&RunRow| {
                let own =
                    run.owner.as_deref() == Some(claim.host) && claim.own.iter().any(|id| **id == *run.id);
                run.state.is_active() && (own || tables.is_dead(run.owner.as_ref(), now))
            };
            let ids: Vec<Arc<str>> = tables
                .runs
                .values()
                .filter(wanted)
                .take(claim.limit as usize)
                .map(|run| run.id.clone())
                .collect();
            let mut claimed = Vec::with_capacity(ids.len());
            for id in ids {
                if let Some(run) = tables.runs.get_mut(&id) {
                    run.owner = Some(claim.host.to_owned());
                    run.fence += 1;
                    claimed.push(run.clone());
                }
            }
            claimed
        })
    }

    fn holds(&self, run: String, fence: i64) -> Answer<'_, bool> {
        self.answer(move |tables, _| tables.runs.get(run.as_str()).is_some_and(|run| run.fence == fence))
    }

    fn seize(&self, run: String, fence: i64) -> Answer<'_, bool> {
        self.answer(move |tables, _| match tables.runs.get_mut(run.as_str()) {
            Some(run) if run.fence == fence => {
                (run.fence, run.owner) = (fence + 1, None);
                true
            }
            _ => false,
        })
    }

    fn prune(&self, before: Millis, limit: u32) -> Answer<'_, u64> {
        self.answer(move |tables, _| {
            let is_there = |parent: &String| {
                let parent = parent.split('/').next().unwrap_or_default();
                tables.runs.contains_key(parent)
            };
            let old = |run: &&RunRow| {
                run.ended.is_some_and(|ended| ended < before) && !run.parent.as_ref().is_some_and(is_there)
            };
            let old: Vec<Arc<str>> =
                tables.runs.values().filter(old).take(limit as usize).map(|run| run.id.clone()).collect();
            for id in &old {
                tables.entries.remove(id);
                if let Some(RunRow { flow, tenant, key: Some(key), .. }) = tables.runs.remove(id) {
                    tables.keys.remove(&(flow, tenant, key));
                }
            }
            old.len() as u64
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
