//! Metric handles that are made when they are first needed. A call that succeeds never comes here.

use chassis_abi::Code;
use std::array;
use std::sync::{OnceLock, PoisonError, RwLock};

/// One handle for each canonical code.
pub(super) struct ByCode<H>([OnceLock<H>; SLOTS]);

/// Handles by a small key: for HTTP, method and status.
pub(super) struct ByKey<H>(RwLock<Vec<(u32, H)>>);

/// Codes are numbered from 1.
const SLOTS: usize = Code::ALL.len() + 1;

impl<H> ByCode<H> {
    pub fn new() -> Self {
        Self(array::from_fn(|_| OnceLock::new()))
    }

    pub fn get(&self, code: Code, make: impl FnOnce(&'static str) -> H) -> &H {
        let at = (code as usize).min(SLOTS - 1);
        self.0[at].get_or_init(|| make(code.as_str()))
    }
}

impl<H: Clone> ByKey<H> {
    pub fn new() -> Self {
        Self(RwLock::default())
    }

    pub fn with(&self, key: u32, make: impl FnOnce() -> H, act: impl FnOnce(&H)) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, handle)) = known.iter().find(|(present, _)| *present == key) {
            return act(handle);
        }
        drop(known);
        // Two threads may both come here; both handles then lead to the same series.
        let handle = make();
        act(&handle);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.iter().all(|(present, _)| *present != key) {
            known.push((key, handle));
        }
    }
}
