//! A server that stands still: every process of it is stopped, and goes on when this is dropped.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;

/// Processes that stand still.
pub struct Still(Vec<Pid>);

impl Still {
    /// Stops a server; `CHASSIS_POSTGRES_PID` and the like name the process that was started.
    pub fn of(server: &str) -> Result<Self> {
        let name = format!("CHASSIS_{}_PID", server.to_uppercase());
        let root =
            std::env::var(&name).with_context(|| format!("{name} is not set: run `cargo xtask faults`"))?;
        let still = Self(family(root.parse()?)?.into_iter().filter_map(Pid::from_raw).collect());
        ensure!(!still.0.is_empty(), "no process of {server} runs");
        for pid in &still.0 {
            // One that has ended meanwhile stands still as well.
            let _ = kill_process(*pid, Signal::STOP);
        }
        Ok(still)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// A process and all that descend from it.
fn family(root: i32) -> Result<Vec<i32>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The name may hold anything, and stands in brackets; then state, then parent.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        children.entry(parent.unwrap_or(0)).or_default().push(pid);
    }
    let mut family = vec![root];
    let mut at = 0;
    while let Some(pid) = family.get(at).copied() {
        family.extend(children.get(&pid).into_iter().flatten());
        at += 1;
    }
    Ok(family)
}
