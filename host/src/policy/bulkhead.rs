//! So many calls in flight, and no queue: one more is refused at once.

use crate::error::CallFailure;
use chassis_abi::Code;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Counts calls in flight. Clones count together.
#[derive(Clone, Debug)]
pub struct Bulkhead(Arc<Inner>);

/// A place in the bulkhead, given back when this is dropped: at the end of the call, or when its caller is gone.
#[derive(Debug)]
pub struct Permit<'a>(&'a AtomicUsize);

/// So many calls in flight, unless the configuration says otherwise.
pub const DEFAULT: usize = 25;

#[derive(Debug)]
struct Inner {
    limit: usize,
    in_flight: AtomicUsize,
}

impl Bulkhead {
    /// With room for `limit` calls.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Inner { limit, in_flight: AtomicUsize::new(0) }))
    }

    /// Takes a place, or refuses.
    pub fn enter(&self) -> Result<Permit<'_>, CallFailure> {
        let Inner { limit, in_flight } = &*self.0;
        // The guard comes first, so that a refused call gives its count back as every other does.
        let before = in_flight.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(in_flight);
        if before < *limit { Ok(permit) } else { Err(full(*limit)) }
    }

    /// Calls in flight now.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed).min(self.0.limit)
    }

    /// The most calls in flight.
    pub fn limit(&self) -> usize {
        self.0.limit
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cold]
fn full(limit: usize) -> CallFailure {
    // A place is free as soon as any call ends; which is soon, or the caller is glad to wait.
    let wait = Duration::from_millis(100);
    let message = format!("{limit} calls are in flight already: try again in {} ms", wait.as_millis());
    CallFailure::refused("bulkhead", Code::ResourceExhausted, message, wait)
}
