//! One configured use of a plugin.

use crate::error::CallError;
use crate::ffi::{RawOutcome, Table};
use crate::table::HostTable;
use crate::{Call, CallFuture, HostServices, Plugin};
use chassis_abi::Code;
use chassis_abi::call::{FLAG_POISONED, OPERATION_PANIC};
use serde_json::Value;
use std::ffi::c_void;
use std::future::poll_fn;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// An instance. Calls and streams hold it: it is destroyed, on a thread of the runtime that may block, when this and all of
/// them are gone.
pub struct Instance {
    pub(crate) inner: Arc<Inner>,
}

/// Makes an instance. Takes as long as the plugin's `open`, which does not wait for a server.
///
/// # Errors
/// What the plugin says: `invalid_argument` for a configuration that it does not understand.
pub fn create(
    plugin: &Arc<Plugin>,
    name: &str,
    config: &Value,
    services: Arc<dyn HostServices>,
) -> Result<Instance, CallError> {
    let host = HostTable::new(name, services);
    let config = config.to_string();
    match plugin.table().create(host.table(), config.as_bytes()) {
        Ok(handle) => {
            let state = AtomicU8::new(OPEN);
            let live = Some(Live { plugin: Arc::clone(plugin), handle, host });
            Ok(Instance { inner: Arc::new(Inner { live, state, on_poison: OnceLock::new() }) })
        }
        Err(outcome) if outcome.code() == 0 => {
            Err(CallError::plugin_defect("`create` answered null without an error"))
        }
        Err(outcome) => Err(CallError::from_outcome(&outcome)),
    }
}

impl Instance {
    /// Begins a call, with the first poll of what this returns.
    #[inline]
    pub fn call(&self, call: Call) -> CallFuture {
        CallFuture::new(Arc::clone(&self.inner), call)
    }

    /// Makes the plugin panic, to see that it is caught: for the conformance suite. A plugin need not offer it.
    pub fn panic_probe(&self) -> CallFuture {
        self.call(Call::new(OPERATION_PANIC, ""))
    }

    /// Closes pools and sessions in good order. Calls that begin afterwards are refused as `unavailable`; wait for those under
    /// way first.
    ///
    /// # Errors
    /// What the plugin says; the instance is closed all the same.
    pub async fn close(&self) -> Result<(), CallError> {
        if self.inner.state.fetch_max(CLOSED, Ordering::Relaxed) != OPEN {
            return Ok(());
        }
        let Some(mut future) = self.inner.table().close(self.inner.handle()) else { return Ok(()) };
        let outcome = poll_fn(|cx| future.poll(cx)).await?;
        if outcome.code() == 0 { Ok(()) } else { Err(self.inner.failed(&outcome)) }
    }

    /// Whether a panic has spoilt it. It answers no call any more.
    pub fn poisoned(&self) -> bool {
        self.inner.state.load(Ordering::Relaxed) == POISONED
    }

    /// The plugin it is made of.
    pub fn plugin(&self) -> &Arc<Plugin> {
        self.inner.plugin()
    }

    /// Waits until the instance is destroyed, and all that it ran on the host's threads is gone. Does not hold the instance.
    pub fn destroyed(&self) -> Destroyed {
        Destroyed(self.inner.live().host.gone())
    }
}

/// See [`Instance::destroyed`].
pub struct Destroyed(watch::Receiver<()>);

impl Destroyed {
    /// Waits.
    pub async fn wait(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

const OPEN: u8 = 0;
const CLOSED: u8 = 1;
const POISONED: u8 = 2;

/// What an instance, its calls and its streams share.
pub(crate) struct Inner {
    // `None` only while it is being dropped.
    live: Option<Live>,
    state: AtomicU8,
    on_poison: OnceLock<OnPoison>,
}

type OnPoison = Box<dyn Fn(&CallError) + Send + Sync>;

struct Live {
    plugin: Arc<Plugin>,
    handle: NonNull<c_void>,
    host: Arc<HostTable>,
}

// SAFETY: the boundary says that `call` may be used from any thread at any time; `close` and `destroy` are used once.
unsafe impl Send for Live {}
// SAFETY: as above.
unsafe impl Sync for Live {}

impl Inner {
    pub(crate) fn plugin(&self) -> &Arc<Plugin> {
        &self.live().plugin
    }

    pub(crate) fn table(&self) -> &Table {
        self.live().plugin.table()
    }

    pub(crate) fn handle(&self) -> NonNull<c_void> {
        self.live().handle
    }

    /// What is to be done, once, when the plugin says that the instance is poisoned.
    pub(crate) fn on_poison(&self, hook: impl Fn(&CallError) + Send + Sync + 'static) {
        let _ = self.on_poison.set(Box::new(hook));
    }

    /// Whether a call may begin.
    #[inline]
    pub(crate) fn admits(&self, operation: u32, upload: bool) -> bool {
        let takes_upload = self.plugin().takes_upload(operation);
        self.state.load(Ordering::Relaxed) == OPEN && takes_upload.is_some_and(|takes| takes || !upload)
    }

    /// Why a call that is not admitted may not begin; there is one that may after all, made to test panics.
    #[cold]
    pub(crate) fn refuses(&self, operation: u32, upload: bool) -> Result<(), CallError> {
        match (self.state.load(Ordering::Relaxed), self.plugin().takes_upload(operation)) {
            (OPEN, Some(takes)) if takes || !upload => Ok(()),
            (OPEN, Some(_)) => Err(CallError::new(Code::InvalidArgument, "the operation takes no upload")),
            (OPEN, None) if operation == OPERATION_PANIC => Ok(()),
            (OPEN, None) if operation == OPERATION_PANIC => Ok(()),
            (OPEN, None) => {
                Err(CallError::new(Code::Unimplemented, format!("there is no operation {operation}")))
            }
            (CLOSED, _) => Err(CallError::unavailable("the instance is closed")),
            _ => Err(CallError::unavailable("the instance is poisoned by a panic, and not yet made again")),
        }
    }

    /// The error of a failed outcome; takes note when it says that the instance is poisoned.
    #[cold]
    pub(crate) fn failed(&self, outcome: &RawOutcome) -> CallError {
        let error = CallError::from_outcome(outcome);
        let poisoned = outcome.flags() & FLAG_POISONED != 0;
        if poisoned
            && self.state.swap(POISONED, Ordering::Relaxed) == OPEN
            && let Some(hook) = self.on_poison.get()
        {
            hook(&error);
        }
        error
    }

    fn live(&self) -> &Live {
        self.live.as_ref().expect("it is taken in drop alone")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(live) = self.live.take() else { return };
        // The last one to hold the instance may be an async worker. Should the runtime be gone, the task is dropped instead of
        // run, which comes to the same here.
        let runtime = live.host.runtime().clone();
        runtime.spawn_blocking(move || drop(live));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // SAFETY: calls and streams hold the Inner that this was in, so they are gone.
        unsafe { self.plugin.table().destroy(self.handle) };
        self.host.shut();
    }
}
