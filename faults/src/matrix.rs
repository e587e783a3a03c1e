//! Five steps of create-user, five faults, on the way forward and on the way back: fifty cells on each kind of servers. Each ends
//! with the user in all five stores or in none.

use crate::host::Host;
use crate::report::{Report, Tally};
use crate::site::{Options, Servers, Site};
use crate::verdict::State;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::time::Duration;

/// A step, what undoes it, and the step whose failure makes the run go back over it.
struct Step {
    name: &'static str,
    role: &'static str,
    operation: &'static str,
    undo: &'static str,
    failing: (&'static str, &'static str),
    /// Whether a host that finds its intent and not its end may ask for it again.
    repeatable: bool,
}

/// Long enough for the steps beside the one that hangs, and shorter than a try.
const OTHERS: Duration = Duration::from_millis(200);

const STEPS: [Step; 5] = [
    Step {
        name: "user",
        role: "users",
        operation: "insert",
        undo: "delete",
        failing: ("search", "index"),
        repeatable: false,
    },
    Step {
        name: "preferences",
        role: "preferences",
        operation: "insert",
        undo: "delete",
        failing: ("search", "index"),
        repeatable: false,
    },
    Step {
        name: "session",
        role: "sessions",
        operation: "set",
        undo: "delete",
        failing: ("search", "index"),
        repeatable: true,
    },
    Step {
        name: "entry",
        role: "search",
        operation: "index",
        undo: "delete",
        failing: ("messages", "publish"),
        repeatable: true,
    },
    Step {
        name: "welcome",
        role: "messages",
        operation: "publish",
        undo: "retract",
        failing: ("search", "index"),
        repeatable: false,
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
    // Without undo nothing can be broken on the way back.
    let ways: &[Way] = if options.without_undo { &[Way::Forward] } else { &[Way::Forward, Way::Undoing] };
    for way in ways.iter().copied() {
        for fault in FAULTS {
            for step in STEPS.iter().take(cells - done) {
                let cell = format!("{servers:?} {way:?} {fault:?} {}", step.name).to_lowercase();
                let end = cell_of(&mut site, &mut host, step, fault, way).await;
                let end = end.with_context(|| cell.clone())?;
                let verdict = site.verdict().await.with_context(|| cell.clone())?;
                let completed = verdict.completed - tally.completed;
                if let Some(end) = end.filter(|_| verdict.clean(0)) {
                    ensure!(
                        completed == usize::from(end == State::Completed),
                        "{cell}: the run is not {end:?}"
                    );
                }
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

/// Answers how the run is to end, where that is not left to chance.
async fn cell_of(
    site: &mut Site,
    host: &mut Host,
    step: &Step,
    fault: Fault,
    way: Way,
) -> Result<Option<State>> {
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
        tokio::time::sleep(OTHERS).await;
        host.kill().await?;
        let unknown = site.journal.unknown("create-user").await?;
        *host = site.host("host").await?;
        if way == Way::Undoing {
            return Ok(Some(State::Undone));
        }
        ensure!(unknown.iter().any(|name| name == step.name), "the journal has no intent of {}", step.name);
        // What may be asked again is, and the run goes on; anything else takes it back.
        let again = |name: &String| STEPS.iter().any(|step| step.name == name && step.repeatable);
        return Ok(Some(if unknown.iter().all(again) { State::Completed } else { State::Undone }));
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
    Ok(None)
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
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    bail!("the instance `{role}` is not well again after its panic")
}
