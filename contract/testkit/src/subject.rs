//! What is tested, and the run.

use crate::{Bench, Case, Failure, Outcome, Server, ServerSource, generic, leaks::Usage, library};
use chassis_loader::{LoadOptions, Plugin};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The contracts that this suite has cases for.
const KNOWN: &[&str] = &["relational", "documents", "cache", "queue", "search", "http"];

/// What is tested.
pub struct Subject {
    /// The package: `env!("CARGO_PKG_NAME")`.
    pub package: &'static str,
    /// The contract; empty for a plugin that has operations of its own only.
    pub contract: &'static str,
    /// Where its real server is.
    pub server: ServerSource,
    /// A configuration that reaches the server.
    pub config: fn(&Server) -> Value,
    /// A configuration that is wrong, and the field that the refusal must name.
    pub wrong_config: (Value, &'static str),
    /// A configuration with a wrong password in it, and the password; it must never be seen. `None` where there is no password.
    pub canary: Option<Canary>,
    /// An operation that takes more than 5 s unless it is cancelled, and its input: needed where there is no server to be
    /// silenced.
    pub slow: Option<(&'static str, Value)>,
    /// The cases of its contract, and more.
    pub cases: &'static [&'static [Case]],
}

/// A configuration with a wrong password in it, and the password.
pub type Canary = fn(&Server) -> (Value, &'static str);

/// Runs every case, one after the other, and tells each result. `CHASSIS_CASE=text` runs only those whose name has the text.
///
/// # Panics
/// When a case fails, with all that failed.
pub fn run(subject: Subject) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Threads that block are gone soon, so that what a plugin leaves behind can be told from them.
    runtime.worker_threads(2).thread_keep_alive(Duration::from_millis(50)).enable_all();
    let runtime = runtime.build();
    match runtime {
        Ok(runtime) => runtime.block_on(run_all(Arc::new(subject))),
        Err(error) => panic!("no runtime: {error}"),
    }
}

async fn run_all(subject: Arc<Subject>) {
    let server = match Server::find(subject.server).await {
        Ok(server) => Arc::new(server),
        Err(why) => return println!("skipped: {}: {why}", subject.package),
    };
    let generations = server.dir().with_extension("generations");
    let plugin = match load(&subject, &generations) {
        Ok(plugin) => plugin,
        Err(why) => panic!("{why}"),
    };
    if let Err(error) = warm_up(&subject, &plugin, &server).await {
        panic!("{}: its configuration is refused: {error}", subject.package);
    }
    let mut failed = Vec::new();
    let only = std::env::var("CHASSIS_CASE").unwrap_or_default();
    let all = generic::CASES.iter().chain(subject.cases.iter().copied().flatten());
    for case in all.filter(|case| case.name.contains(&only)) {
        let begun = Instant::now();
        let result = one(&subject, &plugin, &server, case).await;
        let ms = begun.elapsed().as_millis();
        let (what, contract) = (case.name, subject.contract);
        match result {
            Ok(()) => println!("ok: {contract}: {what} ({ms} ms)"),
            Err(Failure::Skipped(why)) => println!("skipped: {} {contract} {what}: {why}", subject.package),
            Err(Failure::Wrong(why)) => {
                println!("FAILED: {contract}: {what}: {why}");
                failed.push(format!("{what}: {why}"));
            }
        }
    }
    // What is left of the copies is of no use to anybody.
    let _ = std::fs::remove_dir_all(&generations);
    assert!(failed.is_empty(), "{} does not conform:\n- {}", subject.package, failed.join("\n- "));
}

/// Makes an instance and uses it once: what a library keeps for the whole process is there before anything is counted, and nothing
/// of the instance any more.
async fn warm_up(
    subject: &Arc<Subject>,
    plugin: &Arc<Plugin>,
    server: &Arc<Server>,
) -> Result<(), chassis_loader::CallError> {
    let first = Bench::open(subject, plugin, server, (subject.config)(server)).await?;
    let destroyed = first.instance().destroyed();
    // Whether it is well is for a case to say.
    let _ = first.call("health", Value::Object(serde_json::Map::new())).await;
    let _ = first.instance().close().await;
    drop(first);
    let _ = tokio::time::timeout(Duration::from_secs(10), destroyed.wait()).await;
    Ok(())
}

fn load(subject: &Subject, generations: &std::path::Path) -> Result<Arc<Plugin>, String> {
    let path = library::find(subject.package)?;
    let inspected = chassis_loader::inspect(&path).map_err(|refusal| refusal.to_string())?;
    let known_contracts = KNOWN.iter().map(|name| (*name).to_owned()).collect();
    let options = LoadOptions { generations_dir: generations.to_owned(), known_contracts };
    chassis_loader::load(&inspected, &options).map_err(|refusal| refusal.to_string())
}

/// Runs a case on an instance of its own, and sees that nothing is left of it.
async fn one(subject: &Arc<Subject>, plugin: &Arc<Plugin>, server: &Arc<Server>, case: &Case) -> Outcome {
    let before = Usage::now();
    let bench = Bench::open(subject, plugin, server, (subject.config)(server)).await?;
    let destroyed = bench.instance().destroyed();
    let outcome = (case.run)(&bench).await;
    // A case that failed half-way may have left the server cut off.
    if let Some(proxy) = server.proxy() {
        proxy.heal().await;
    }
    bench.instance().close().await?;
    drop(bench);
    if tokio::time::timeout(Duration::from_secs(10), destroyed.wait()).await.is_err() {
        return Err("the instance was not destroyed within 10 s".into());
    }
    outcome?;
    if let Some(before) = before {
        before.regained().await.map_err(|left| format!("threads or files are left: {left}"))?;
    }
    Ok(())
}
