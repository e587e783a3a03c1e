//! What the host offers to one instance.

use crate::config::Secrets;
use crate::telemetry::logs;
use chassis_loader::{HostServices, Level};
use serde_json::Value;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, LazyLock};
use tokio::runtime::Handle;

/// What the host offers to one instance.
pub struct Services {
    instance: Arc<str>,
    secrets: Arc<Secrets>,
    runtime: Handle,
}

/// One level for all plugins, read by them before they make a message.
static LEVEL: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(logs::plugin_level()));

impl Services {
    /// For an instance; on the runtime that makes it.
    pub fn new(instance: Arc<str>, secrets: Arc<Secrets>) -> Self {
        Self { instance, secrets, runtime: Handle::current() }
    }
}

impl HostServices for Services {
    fn runtime(&self) -> &Handle {
        &self.runtime
    }

    fn log_level(&self) -> &AtomicU32 {
        &LEVEL
    }

    fn log(&self, level: Level, message: &str, mut fields: Option<Value>) {
        if let Some(fields) = &mut fields {
            scrub(fields, &self.secrets);
        }
        logs::plugin_line(&self.instance, level as u32, &self.secrets.scrub(message), fields.as_ref());
    }
}

fn scrub(value: &mut Value, secrets: &Secrets) {
    match value {
        Value::String(text) => secrets.scrub_mut(text),
        Value::Array(list) => list.iter_mut().for_each(|value| scrub(value, secrets)),
        Value::Object(table) => table.values_mut().for_each(|value| scrub(value, secrets)),
        _ => {}
    }
}
