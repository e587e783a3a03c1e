//! What a plugin tells its host while it is tested.

use chassis_loader::{HostServices, Level};
use serde_json::Value;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

/// A host that keeps every log line.
pub(crate) struct Recorder {
    runtime: Handle,
    level: AtomicU32,
    lines: Mutex<Vec<String>>,
}

impl Recorder {
    pub(crate) fn new(runtime: Handle) -> Arc<Self> {
        // Everything: the canary is looked for in trace lines too.
        Arc::new(Self { runtime, level: AtomicU32::new(Level::Trace as u32), lines: Mutex::default() })
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl HostServices for Recorder {
    fn runtime(&self) -> &Handle {
        &self.runtime
    }

    fn log_level(&self) -> &AtomicU32 {
        &self.level
    }

    fn log(&self, level: Level, message: &str, fields: Option<Value>) {
        let line = format!("{level:?} {message} {}", fields.unwrap_or_default());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}
