//! What the loader's tests share: plugins to load, and a host that keeps what it is told.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test says with it what must hold")]

use chassis_loader::{
    Call, CallError, HostServices, Instance, Level, LoadOptions, MetricKind, Plugin, Reply, create, inspect,
    load,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// A host that keeps what it is told.
pub struct Host {
    runtime: Handle,
    level: AtomicU32,
    pub lines: Mutex<Vec<(Level, String, Option<Value>)>>,
}

impl Host {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { runtime: Handle::current(), level: AtomicU32::new(5), lines: Mutex::default() })
    }

    pub fn said(&self, what: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|(_, message, _)| message.contains(what))
    }
}

impl HostServices for Host {
    fn runtime(&self) -> &Handle {
        &self.runtime
    }

    fn log_level(&self) -> &AtomicU32 {
        &self.level
    }

    fn log(&self, level: Level, message: &str, fields: Option<Value>) {
        self.lines.lock().unwrap().push((level, message.to_owned(), fields));
    }

    fn metric_register(&self, _: MetricKind, name: &str, _: &str, _: Option<Value>) -> u64 {
        name.len() as u64
    }
}

pub fn options(dir: &Path) -> LoadOptions {
    LoadOptions { generations_dir: dir.join("generations"), known_contracts: vec!["cache".into()] }
}

/// Compiles a library from C; `None`, said aloud, where there is no compiler.
pub fn compile(source: &Path, output: &Path, defines: &[&str]) -> Option<()> {
    let include = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/../abi");
    let result = Command::new("cc")
        .args([
            "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-fPIC", "-shared", "-pthread", include,
        ])
        .args(defines)
        .arg("-o")
        .arg(output)
        .arg(source)
        .output();
    match result {
        Err(_) => {
            println!("skipped: there is no C compiler");
            None
        }
        Ok(result) => {
            assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
            Some(())
        }
    }
}

pub fn counter_source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/c-plugin/counter.c")
}

/// The plugin in C, built and loaded.
pub fn counter(dir: &TempDir) -> Option<Arc<Plugin>> {
    let library = dir.path().join("libcounter.so");
    compile(&counter_source(), &library, &[])?;
    Some(load(&inspect(&library).unwrap(), &options(dir.path())).unwrap())
}

/// The example in Rust: from CHASSIS_PLUGINS_DIR, or from the folder that this test was built into.
pub fn echo_path() -> Option<PathBuf> {
    let name =
        format!("{}chassis_example_echo{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let named = std::env::var_os("CHASSIS_PLUGINS_DIR").map(|dir| PathBuf::from(dir).join(&name));
    let test = std::env::current_exe().unwrap();
    let beside = test.parent().and_then(Path::parent).map(|dir| dir.join(&name));
    let found = named.into_iter().chain(beside).find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: {name} is not built (cargo build -p chassis-example-echo)");
    }
    found
}

pub fn echo(dir: &TempDir) -> Option<Arc<Plugin>> {
    let path = echo_path()?;
    Some(load(&inspect(&path).unwrap(), &options(dir.path())).unwrap())
}

pub fn instance(plugin: &Arc<Plugin>) -> Instance {
    create(plugin, "under-test", &json!({}), Host::new()).unwrap()
}

pub fn operation(plugin: &Plugin, name: &str) -> u32 {
    plugin.manifest().operation(name).unwrap().0
}

pub fn call(plugin: &Plugin, name: &str, input: Value) -> Call {
    Call::new(operation(plugin, name), input.to_string())
}

pub async fn answer(instance: &Instance, name: &str, input: Value) -> Result<Value, CallError> {
    let reply = instance.call(call(instance.plugin(), name, input)).await?;
    Ok(value(&reply))
}

pub fn value(reply: &Reply) -> Value {
    if reply.json().is_empty() { Value::Null } else { serde_json::from_slice(reply.json()).unwrap() }
}
