//! The host's table, and tasks that run on the host.

use super::bytes::{bytes, lend};
use crate::instance::Poison;
use crate::io::{HostIo, HostTask};
use chassis_abi::call::{PENDING, READY};
use chassis_abi::{ChassisFuture, ChassisHost, ChassisOutcome, ChassisWaker, waker};
use serde_json::{Map, Value};
use std::ffi::c_void;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context as TaskContext, Poll};
use tokio::runtime::Handle;

/// The host's table. Valid until the instance is destroyed; every slot is optional.
#[derive(Clone, Copy)]
pub(crate) struct HostTable {
    pub(super) host: *const ChassisHost,
}

// SAFETY: the table is immutable and its slots may be called from any thread.
unsafe impl Send for HostTable {}
// SAFETY: as above.
unsafe impl Sync for HostTable {}

impl HostTable {
    fn get(&self) -> &ChassisHost {
        // SAFETY: the table lives until `destroy` has returned, and minor 0 has all of these slots.
        unsafe { &*self.host }
    }

    pub(crate) fn instance(&self) -> &str {
        std::str::from_utf8(bytes(&self.get().instance)).unwrap_or("instance")
    }

    pub(crate) fn log_level(&self) -> u32 {
        let level = self.get().log_level;
        if level.is_null() {
            return 0;
        }
        // SAFETY: the host keeps the word there and changes it atomically only.
        unsafe { AtomicU32::from_ptr(level.cast_mut()) }.load(Ordering::Relaxed)
    }

    pub(crate) fn log(&self, level: u32, message: &str, fields: &Map<String, Value>) {
        if let Some(log) = self.get().log {
            let fields = if fields.is_empty() {
                String::new()
            } else {
                serde_json::to_string(fields).unwrap_or_default()
            };
            // SAFETY: both are lent for the call.
            unsafe { log(self.get().ctx, level, lend(message), lend(&fields)) };
        }
    }

    pub(crate) fn connect(&self, address: &str) -> Option<HostIo> {
        let connect = self.get().connect?;
        // SAFETY: the address is lent for the call.
        HostIo::new(unsafe { connect(self.get().ctx, lend(address)) })
    }

    pub(crate) fn spawn(
        &self,
        runtime: Handle,
        poison: Poison,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Option<HostTask> {
        let spawn = self.get().spawn?;
        // The task may outlive the instance by a moment (abort is not instant), so it brings what it needs along.
        let task = Task { runtime, poison, future: task };
        let data = Box::into_raw(Box::new(task));
        let future = task_future(data);
        // SAFETY: the future is handed over.
        HostTask::new(unsafe { spawn(self.get().ctx, future) })
    }
}

struct Task<F> {
    runtime: Handle,
    poison: Poison,
    future: F,
}

fn task_future<F: Future<Output = ()> + Send>(data: *mut Task<F>) -> ChassisFuture {
    ChassisFuture { data: data.cast(), poll: Some(poll_task::<F>), drop: Some(drop_task::<F>) }
}

unsafe extern "C" fn poll_task<F: Future<Output = ()>>(
    data: *mut c_void,
    waker: *const ChassisWaker,
    out: *mut ChassisOutcome,
) -> u32 {
    // SAFETY: `data` is ours (spawn), and nobody else polls or drops it now.
    let task = unsafe { &mut *data.cast::<Task<F>>() };
    let _runtime = task.runtime.enter();
    // SAFETY: the future is boxed and never moved.
    let future = unsafe { Pin::new_unchecked(&mut task.future) };
    // SAFETY: the waker is lent for this poll.
    let polled = catch_unwind(AssertUnwindSafe(|| unsafe {
        waker::with_waker(waker, |waker| future.poll(&mut TaskContext::from_waker(waker)))
    }));
    match polled {
        Ok(Poll::Pending) => PENDING,
        ended => {
            // What waits for a task that panicked sees its channels closed; the instance is as spoilt as by a call's panic.
            if ended.is_err() {
                task.poison.set();
            }
            // SAFETY: `out` may be written.
            unsafe { out.write(ChassisOutcome::EMPTY) };
            READY
        }
    }
}

unsafe extern "C" fn drop_task<F>(data: *mut c_void) {
    // SAFETY: `data` is ours (spawn), and given back once.
    let task = unsafe { Box::from_raw(data.cast::<Task<F>>()) };
    let runtime = task.runtime.clone();
    let _runtime = runtime.enter();
    // As in destroy: there is nobody to tell.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(task)));
}
