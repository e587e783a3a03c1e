//! A run that was started, and how it ends: in this host's hands, or in another's.

use super::progress::Stop;
use super::{Engine, unwritten};
use crate::error::CallFailure;
use crate::flow::run::RunOutcome;
use chassis_abi::Code;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A run that was started. Dropping it changes nothing for the run.
pub struct Started {
    engine: Engine,
    run_id: String,
    replayed: bool,
    settled: Option<watch::Receiver<Option<Settled>>>,
}

/// What came of a run in a host's hands.
#[derive(Clone, Debug)]
pub(in crate::flow) enum Settled {
    /// It ended, or is stuck.
    Over(Arc<RunOutcome>),
    /// It goes on, elsewhere or later.
    Elsewhere(Arc<Stop>),
}

/// How often the journal is looked at for a run that another host has.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LAST_LOOK: Duration = Duration::from_secs(1);

impl Started {
    pub(super) fn new(
        engine: Engine,
        run_id: String,
        settled: Option<watch::Receiver<Option<Settled>>>,
    ) -> Self {
        Self { engine, run_id, replayed: false, settled }
    }

    pub(super) fn replayed(self, replayed: bool) -> Self {
        Self { replayed, ..self }
    }

    /// The run's id.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Whether the run was there before, and nothing was started.
    pub fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// Waits until the run has ended or is stuck, wherever that happens.
    ///
    /// # Errors
    /// `unavailable` if this host ends before; the run goes on without it.
    pub async fn outcome(mut self) -> Result<RunOutcome, CallFailure> {
        let mut unwritten = None;
        if let Some(settled) = &mut self.settled {
            let told = settled.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
            match told {
                Some(Settled::Over(outcome)) => {
                    drop(self.settled.take());
                    return Ok(Arc::unwrap_or_clone(outcome));
                }
                Some(Settled::Elsewhere(stop)) => match &*stop {
                    Stop::Handed | Stop::Defect(_) | Stop::Duplicate => {
                        return Err(stop.failure(&self.run_id));
                    }
                    Stop::Unwritten(_) => unwritten = Some(stop.failure(&self.run_id)),
                    Stop::Lost => {}
                },
                None => {}
            }
        }
        match (self.look().await, unwritten) {
            // Nothing of it was ever written: that is not a run which nobody knows, but a journal that is not there.
            (Err(failure), Some(unwritten)) if failure.code() == Code::NotFound => Err(unwritten),
            (outcome, _) => outcome,
        }
    }

    /// Looks into the journal until the run is over.
    async fn look(&self) -> Result<RunOutcome, CallFailure> {
        let mut wait = FIRST_LOOK;
        loop {
            let row = self.engine.journal().store().run(self.run_id.clone()).await;
            match row.map_err(|error| unwritten(error.into(), true))? {
                Some(row) if !row.state.is_active() => return self.engine.recall(row).await,
                Some(_) => {}
                None => {
                    let message = format!("the run {} is no longer in the journal", self.run_id);
                    return Err(CallFailure::new(Code::NotFound, message));
                }
            }
            tokio::select! {
                biased;
                () = self.engine.0.handing.cancelled() => return Err(Stop::Handed.failure(&self.run_id)),
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(LAST_LOOK);
        }
    }
}
