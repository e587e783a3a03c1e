//! What an instance gets from its host.

use crate::ffi::{HostTable, said};
use crate::instance::Poison;
use crate::io::{HostIo, HostTask};
use serde_json::{Map, Value};
use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// What an instance gets from its host. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    host: HostTable,
    runtime: Handle,
    poison: Poison,
}

/// How important a log line is.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error = 1,
    /// Something may not work soon.
    Warn = 2,
    /// What an operator wants to know.
    Info = 3,
    /// What a developer wants to know.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

impl Context {
    pub(crate) fn new(host: HostTable, runtime: Handle, poison: Poison) -> Self {
        Self { host, runtime, poison }
    }

    /// The instance's name in the host's configuration.
    pub fn instance(&self) -> &str {
        self.host.instance()
    }

    /// Runs a task on the instance's own thread. It ends with the instance at the latest. Its panic poisons the instance, as a
    /// call's does: what the others wait for may never come.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let context = self.clone();
        self.runtime.spawn(async move {
            let mut task = pin!(task);
            poll_fn(|polled| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(polled))) {
                Ok(polled) => polled,
                Err(panic) => {
                    context.poisoned(&*panic);
                    resume_unwind(panic)
                }
            })
            .await
        })
    }

    /// Connects to `host:port` or `/unix/socket` on the host's own event loop, so that calls cross no thread; `None` when the host
    /// does not offer it. A failure to connect is seen by the first read or write. Whatever reads and writes it should run by
    /// [`Context::host_spawn`].
    pub fn host_connect(&self, address: &str) -> Option<HostIo> {
        self.host.connect(address)
    }

    /// Runs a task on the host's own threads; `None` (and the task dropped) when the host does not offer it.
    pub fn host_spawn<F>(&self, task: F) -> Option<HostTask>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.host.spawn(self.runtime.clone(), self.poison.clone(), task)
    }

    fn poisoned(&self, panic: &(dyn Any + Send)) {
        self.poison.set();
        self.log(Level::Error, "a task of the instance panicked", [("panic", said(panic).into())]);
    }

    /// Whether a line of this level would be written; ask before making an expensive one.
    pub fn logs(&self, level: Level) -> bool {
        self.host.log_level() >= level as u32
    }

    /// Writes a line to the host's log: lower-case text, and what varies as fields. Never a secret.
    pub fn log<const N: usize>(&self, level: Level, message: &str, fields: [(&str, Value); N]) {
        if self.logs(level) {
            let fields: Map<String, Value> =
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            self.host.log(level as u32, message, &fields);
        }
    }
}
