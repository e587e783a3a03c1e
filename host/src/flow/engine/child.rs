//! Flows within flows. The run of a step's flow is a run of its own, found by a key that is made of the parent's run and step: a host
//! that takes the parent over finds the same one, and it is undone with its parent, though it had completed.

use super::progress::Stop;
use super::started::Started;
use super::{Engine, Start};
use crate::error::CallFailure;
use crate::flow::state::RunState;
use crate::journal::{RunRow, StoreError};
use chassis_abi::Code;
use serde_json::Value;
use std::sync::Arc;

/// How a flow within a flow ended, and whether something of it is left.
type Ended = (Result<Value, CallFailure>, bool);

/// Runs a flow for a step, or waits for the run that was started `again`.
pub(super) async fn run(
    engine: &Engine,
    name: &str,
    input: &Arc<Value>,
    start: Start,
    again: bool,
) -> Result<Ended, Stop> {
    let found = match &start.key {
        Some(key) if again => find(engine, name, start.context.tenant.as_deref(), key).await?,
        _ => None,
    };
    let started = match found {
        Some(row) => engine.watch(&row),
        None => match engine.start(name, Value::clone(input), start).await {
            Ok(started) => started,
            // Nothing began, or it is not known whether: then the parent cannot be written either.
            Err(failure) if failure.code() == Code::Unavailable => return Err(away(engine, failure)),
            Err(failure) => return Ok((Err(failure), false)),
        },
    };
    let outcome = started.outcome().await.map_err(|failure| away(engine, failure))?;
    if outcome.state == RunState::Completed {
        return Ok((Ok(outcome.output), false));
    }
    let failure = outcome.error.map(|error| {
        let mut failure = error.failure;
        failure.error.message = format!("flow `{name}`: {}: {}", error.step, failure.error.message);
        failure
    });
    let mut failure =
        failure.unwrap_or_else(|| CallFailure::new(Code::Aborted, format!("flow `{name}` failed")));
    let left = outcome.state == RunState::Stuck;
    failure.error.maybe_applied = left;
    Ok((Err(failure), left))
}

/// Takes back what a flow within a flow did. `known` says that it had completed, so that it must be there.
pub(super) async fn revert(
    engine: &Engine,
    name: &str,
    tenant: Option<&str>,
    key: &str,
    known: bool,
) -> Result<Result<(), CallFailure>, Stop> {
    let mut mended = false;
    loop {
        let Some(row) = find(engine, name, tenant, key).await? else {
            let message = format!("the run of flow `{name}` with the key `{key}` is not in the journal");
            return Ok(if known { Err(CallFailure::new(Code::DataLoss, message)) } else { Ok(()) });
        };
        match row.state {
            RunState::Undone | RunState::Cancelled => return Ok(Ok(())),
            RunState::Running | RunState::Undoing => {
                engine.watch(&row).outcome().await.map_err(|failure| away(engine, failure))?;
                continue;
            }
            RunState::Stuck if mended => {
                let message = format!("its run {} is stuck: see `chassis runs show {}`", row.id, row.id);
                return Ok(Err(CallFailure::new(Code::FailedPrecondition, message)));
            }
            RunState::Stuck | RunState::Completed => {}
        }
        let changed = match row.state {
            RunState::Stuck => engine.runs().resume(&row.id).await,
            _ => engine.runs().revert(&row.id, key).await,
        };
        match changed {
            Ok(()) => mended = true,
            // Somebody else was faster: it is looked at again.
            Err(failure) if matches!(failure.code(), Code::Aborted | Code::FailedPrecondition) => {}
            Err(failure) => return Err(away(engine, failure)),
        }
    }
}

/// How the run of a step's flow stands, if it began.
async fn find(engine: &Engine, name: &str, tenant: Option<&str>, key: &str) -> Result<Option<RunRow>, Stop> {
    let store = engine.journal().store();
    let found =
        store.run_of_key(name.to_owned(), tenant.unwrap_or_default().to_owned(), key.to_owned()).await;
    found.map_err(|error| Stop::Unwritten(error.into()))
}

/// The parent is not over either: it goes on here later, or with the next host.
fn away(engine: &Engine, failure: CallFailure) -> Stop {
    if engine.0.handing.is_cancelled() || engine.0.gone.is_cancelled() {
        return Stop::Handed;
    }
    Stop::Unwritten(StoreError::of("run of a flow within a flow", failure).into())
}

impl Engine {
    /// A run that is there, to wait for its end.
    fn watch(&self, row: &RunRow) -> Started {
        Started::new(self.clone(), row.id.to_string(), self.0.settled(&row.id))
    }
}
