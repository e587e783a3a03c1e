//! Runs that are in the journal and in nobody's hands: after a host died, or as soon as this one starts again.

use super::progress::Progress;
use super::{Engine, Inner};
use crate::flow::model::Flow;
use crate::journal::{EntryRow, JournalError, RunRow, StoreError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Runs taken at once; there may be more, which are taken the next time.
const CLAIM: u32 = 200;
/// Ended runs deleted at once.
const PRUNE: u32 = 1_000;
const PRUNE_EVERY: Duration = Duration::from_secs(60);
const COUNT_EVERY: Duration = Duration::from_secs(5);

impl Engine {
    /// Takes every unfinished run that nobody has, and goes on with it; answers how many.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let journal = &self.0.journal;
        for (run, reason) in journal.renew().await? {
            self.0.cancel(&run, &reason);
        }
        let mut taken = 0;
        loop {
            let own = std::mem::take(&mut *self.0.parked.lock().unwrap_or_else(PoisonError::into_inner));
            let claimed = match journal.claim(&own, CLAIM).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    self.0.parked.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
                    return Err(error);
                }
            };
            taken += claimed.len();
            let more = claimed.len() == CLAIM as usize;
            for row in claimed {
                self.0.take(row).await;
            }
            if !more {
                return Ok(taken);
            }
        }
    }

    /// Keeps what this host holds, takes what others lost, prunes what is old: until the host ends. `keep` is how long an ended
    /// run is kept.
    pub fn keep_up(&self, keep: Duration) {
        self.keep_lease();
        let engine = self.clone();
        tokio::spawn(async move {
            let interval = engine.0.journal.lease().interval();
            let (mut pruned, mut counted): (Option<Instant>, Option<Instant>) = (None, None);
            let due = |last: &mut Option<Instant>, every: Duration| {
                let is_due = last.is_none_or(|last| last.elapsed() >= every);
                if is_due {
                    *last = Some(Instant::now());
                }
                is_due
            };
            loop {
                tokio::select! {
                    biased;
                    () = engine.0.gone.cancelled() => return,
                    () = tokio::time::sleep(interval) => {}
                }
                let round = async {
                    if engine.0.handing.is_cancelled() {
                        // It still has runs, and takes no more.
                        return Ok(());
                    }
                    let taken = engine.recover().await?;
                    if taken > 0 {
                        tracing::info!(runs = taken, "runs are taken over");
                    }
                    if due(&mut counted, COUNT_EVERY) {
                        engine.0.spans.stuck(&engine.0.journal.store().stuck().await?);
                    }
                    if due(&mut pruned, PRUNE_EVERY) {
                        engine.prune(keep).await?;
                    }
                    Ok::<(), StoreError>(())
                };
                if let Err(error) = round.await {
                    tracing::warn!(%error, "the journal is not kept up");
                }
            }
        });
    }

    /// Says again and again that this host lives. Nothing else is done in between: to take over what a dead host leaves may last longer
    /// than a lease.
    fn keep_lease(&self) {
        let engine = self.clone();
        tokio::spawn(async move {
            let interval = engine.0.journal.lease().interval();
            while engine.0.gone.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
                match engine.0.journal.renew().await {
                    Ok(cancelled) => cancelled.iter().for_each(|(run, reason)| engine.0.cancel(run, reason)),
                    Err(error) => tracing::warn!(%error, "the lease of this host's runs is not renewed"),
                }
            }
        });
    }

    /// Deletes runs that ended longer ago; answers how many.
    pub async fn prune(&self, keep: Duration) -> Result<u64, StoreError> {
        let store = self.0.journal.store();
        let before = store.now().saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        let mut pruned = 0;
        loop {
            let some = store.prune(before, PRUNE).await?;
            pruned += some;
            // The parts of a run go after it, in the next round.
            if some == 0 {
                return Ok(pruned);
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Inner {
    /// Goes on with a run. One that makes no sense stays as it is, for a build that can read it; one that could not be read now is this
    /// host's already, and is taken the next time.
    async fn take(self: &Arc<Self>, row: RunRow) {
        let (id, name) = (row.id.clone(), row.flow.clone());
        let entries = match self.journal.store().entries(row.id.to_string()).await {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(run = %id, flow = %name, %error, "the run is taken up later");
                return self.parked.lock().unwrap_or_else(PoisonError::into_inner).push(id.to_string());
            }
        };
        if let Err(error) = self.try_take(row, &entries).await {
            tracing::error!(run = %id, flow = %name, %error, "the run cannot be taken up");
        }
    }

    async fn try_take(self: &Arc<Self>, row: RunRow, entries: &[EntryRow]) -> Result<(), String> {
        let flow = self.flow_of(&row).await?;
        let progress = Progress::take(self.clone(), flow, &row, entries)
            .map_err(|reason| JournalError::Corrupt { run: row.id.to_string(), reason }.to_string())?;
        self.drive(progress);
        Ok(())
    }

    /// The version of the flow that a run was started with.
    pub async fn flow_of(&self, row: &RunRow) -> Result<Arc<Flow>, String> {
        if let Ok(flow) = self.flows().get(&row.flow)
            && *flow.version == *row.version
        {
            return Ok(flow.clone());
        }
        let known =
            |versions: &std::collections::HashMap<String, Arc<Flow>>| versions.get(&row.version).cloned();
        if let Some(flow) = known(&self.versions.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(flow);
        }
        let kept =
            self.journal.store().version(row.version.clone()).await.map_err(|error| error.to_string())?;
        let kept =
            kept.ok_or_else(|| format!("the version {} of its flow is not in the journal", row.version))?;
        let file = format!("{} (as the journal keeps it)", kept.name);
        let flow = Flow::parse(&kept.name, &file, &kept.text)
            .map_err(|error| format!("the version of its flow that it was started with: {error}"))?;
        let flow = Arc::new(flow);
        self.versions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(row.version.clone(), flow.clone());
        Ok(flow)
    }
}
