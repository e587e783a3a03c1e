//! How a call ended, as the boundary tells it.

use super::bytes::owned;
use crate::Error;
use chassis_abi::call::{FLAG_MAYBE_APPLIED, FLAG_POISONED, FLAG_RETRYABLE};
use chassis_abi::{ChassisOutcome, OwnedBytes};
use serde::Serialize;
use std::any::Any;

/// A successful outcome.
pub(crate) fn success<O: Serialize>(output: &O, raw: Option<Vec<u8>>) -> ChassisOutcome {
    let mut json = Vec::with_capacity(128);
    match serde_json::to_writer(&mut json, output) {
        Ok(()) => ChassisOutcome {
            json: owned(json),
            raw: raw.map_or(OwnedBytes::EMPTY, owned),
            ..ChassisOutcome::EMPTY
        },
        Err(error) => failure(Error::internal("the output cannot be written as JSON").caused_by(&error)),
    }
}

/// A failed outcome.
pub(crate) fn failure(error: Error) -> ChassisOutcome {
    let mut flags = 0;
    if error.retryable {
        flags |= FLAG_RETRYABLE;
    }
    if error.maybe_applied {
        flags |= FLAG_MAYBE_APPLIED;
    }
    let json = serde_json::to_vec(&error.document).unwrap_or_default();
    ChassisOutcome { code: error.code as u32, flags, json: owned(json), ..ChassisOutcome::EMPTY }
}

/// What a panic says.
pub(crate) fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("of an unknown kind")
}

/// The outcome of what panicked. The effect may have happened before.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> ChassisOutcome {
    let message = format!("panic: {}", said(panic));
    let mut outcome = failure(Error::internal(message).maybe_applied());
    outcome.flags |= FLAG_POISONED;
    outcome
}

/// The outcome of a call to an instance that is poisoned.
pub(super) fn poisoned() -> ChassisOutcome {
    let mut outcome = failure(Error::internal("the instance is poisoned by an earlier panic"));
    outcome.flags |= FLAG_POISONED;
    outcome
}
