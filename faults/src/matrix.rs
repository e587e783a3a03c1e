//! Five steps of create-user, five faults, on the way forward and on the way back: fifty cells on each kind of servers. Each ends
//! with the user in all five stores or in none.

use crate::host::Host;
use crate::report::{Report, Tally};
use crate::site::{Options, Servers, Site};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A step, what undoes it, and the step whose failure makes the run go back over it.
struct Step {
    name: &'static str,
    role: &'static str,
    operation: &'static str,
    undo: &'static str,
    failing: (&'static str, &'static str),
}

const STEPS: [Step; 5] = [
    Step { name: "user", role: "users", operation: "insert", undo: "delete", failing: ("search", "index") },
    Step {
        name: "preferences",
        role: "preferences",
        operation: "insert",
        undo: "delete",
        failing: ("search", "index"),
    },
    Step {
        name: "session",
        role: "sessions",
        operation: "set",
        undo: "delete",
        failing: ("search", "index"),
    },
    Step {
        name: "entry",
        role: "search",
        operation: "index",
        undo: "delete",
        failing: ("messages", "publish"),
    },
    Step {
        name: "welcome",
        role: "messages",
        operation: "publish",
        undo: "retract",
        failing: ("search", "index"),
    },
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Error,
    TimeoutBefore,
    TimeoutAfter,
    Panic,
    Kill,
}

const FAULTS: [Fault; 5] =
    [Fault::Error, Fault::TimeoutBefore, Fault::TimeoutAfter, Fault::Panic, Fault::Kill];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Forward,
    Undoing,
}

/// Cells of one kind of servers.
pub const CELLS: usize = STEPS.len() * FAULTS.len() * 2;

/// Runs the first so many cells on one site, and reads the stores at the end of each. All are [`CELLS`].
pub async fn run(servers: Servers, cells: usize, options: &Options, report: &Report) -> Result<Tally> {
    let mut site = Site::new(servers, options).await?;
    let mut host = site.first_host().await?;
    let mut tally = Tally::default();
    let mut done = 0;
    for way in [Way::Forward, Way::Undoing] {
        for fault in FAULTS {
            for step in STEPS.iter().take(cells - done) {
                let cell = format!("{servers:?} {way:?} {fault:?} {}", step.name).to_lowercase();
                cell_of(&mut site, &mut host, step, fault, way).await.with_context(|| cell.clone())?;
                let verdict = site.verdict().await.with_context(|| cell.clone())?;
                done += 1;
                report.progress(&format!("matrix: {done} of {CELLS} on {servers:?}: {cell}"));
                tally = Tally { cells: done, ..Tally::of(&verdict) };
                if !verdict.clean(0) {
                    // What is wrong stays wrong in every later cell: the first one is the one to look at.
                    report.wrong(&cell, &verdict, Some(site.folder()));
                    if !options.without_undo {
                        site.keep();
                        return Ok(tally);
                    }
                }
            }
        }
    }
    host.stop().await?;
    Ok(tally)
}

async fn cell_of(site: &mut Site, host: &mut Host, step: &Step, fault: Fault, way: Way) -> Result<()> {
    let user = site.next_user();
    let operation = if way == Way::Forward { step.operation } else { step.undo };
    host.fault(&spec(fault, way, step.role, operation)).await?;
    if way == Way::Undoing {
        let (role, operation) = step.failing;
        // Late, so that the step in question has ended before.
        let late = json!({ "name": "why", "kind": "error", "code": "failed_precondition", "instance": role, "operation": operation, "latency": "60ms" });
        host.fault(&late).await?;
    }
    if fault == Fault::Kill {
        let begun = host.flow("create-user", &user, None);
        tokio::select! {
            ended = begun => bail!("the run ended before the host was killed: {ended:?}"),
            hit = host.hit("cell", 1) => hit?,
        }
        host.kill().await?;
        *host = site.host("host").await?;
        return Ok(());
    }
    let (status, answer) = host.flow("create-user", &user, None).await?;
    // A cell whose fault nobody met would prove nothing.
    host.hit("cell", 1).await?;
    host.clear().await?;
    // A single panic may be survived by trying again; anything else must have been in the way.
    if status == 200 && (way == Way::Undoing || fault != Fault::Panic) {
        bail!("the run completed as if there had been no fault: {answer}");
    }
    if fault == Fault::Panic {
        well(host, step.role).await?;
    }
    Ok(())
}

fn spec(fault: Fault, way: Way, role: &str, operation: &str) -> Value {
    let mut spec = json!({ "name": "cell", "instance": role, "operation": operation });
    spec["kind"] = match fault {
        Fault::Error => json!("error"),
        Fault::TimeoutBefore => json!("timeout_before"),
        // Killed with the effect there and its answer lost: that is the harder half.
        Fault::TimeoutAfter | Fault::Kill => json!("timeout_after"),
        Fault::Panic => json!("panic"),
    };
    match (fault, way) {
        // Every try meets it, so that the run must go back.
        (Fault::Error, Way::Forward) => spec["code"] = json!("internal"),
        (_, Way::Forward) if fault != Fault::Panic => {}
        (Fault::Kill, Way::Undoing) => {}
        // The undo is tried again, and then must come through.
        (Fault::Error, Way::Undoing) => spec["first"] = json!(2),
        _ => spec["first"] = json!(1),
    }
    spec
}

/// Waits until an instance that panicked is made again.
async fn well(host: &Host, role: &str) -> Result<()> {
    for _ in 0..400 {
        let (_, health) = host.ask(reqwest::Method::GET, "/health", None).await?;
        let instances = health["instances"].as_array().cloned().unwrap_or_default();
        let instance = instances.iter().find(|instance| instance["name"] == role);
        if instance
            .is_some_and(|instance| instance["recreations"].as_u64() > Some(0) && instance["state"] == "ok")
        {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    bail!("the instance `{role}` is not well again after its panic")
}
