//! How it stands with the servers, for people and for programs.

use anyhow::Result;
use serde_json::{Value, json};

use super::ALL;
use super::backend::Site;
use super::state::State;
use crate::place;

/// How a start ended for one server.
pub struct Outcome {
    pub name: &'static str,
    pub standing: Standing,
    pub ms: u128,
}

impl Outcome {
    /// Whether the server runs now.
    pub fn runs(&self) -> bool {
        matches!(self.standing, Standing::Started | Standing::RanAlready)
    }
}

/// What a start found or made.
#[derive(Debug, PartialEq)]
pub enum Standing {
    Started,
    RanAlready,
    /// It can't be had on this machine, and why.
    Skipped(String),
    Failed(String),
}

/// 0 when all run, 3 when some can't be had, 1 when some failed.
pub fn exit_code(outcomes: &[Outcome]) -> u8 {
    if outcomes.iter().any(|outcome| matches!(outcome.standing, Standing::Failed(_))) {
        1
    } else if outcomes.iter().any(|outcome| matches!(outcome.standing, Standing::Skipped(_))) {
        3
    } else {
        0
    }
}

/// One line: `{"ok":…,"servers":[{"name":…,"state":…,"ms":…,"why":…}]}`.
pub fn outcomes_json(outcomes: &[Outcome]) -> Value {
    let servers: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            let (state, why) = match &outcome.standing {
                Standing::Started => ("started", None),
                Standing::RanAlready => ("already running", None),
                Standing::Skipped(why) => ("skipped", Some(why)),
                Standing::Failed(why) => ("failed", Some(why)),
            };
            json!({"name": outcome.name, "state": state, "ms": outcome.ms, "why": why})
        })
        .collect();
    json!({"ok": exit_code(outcomes) == 0, "servers": servers})
}

/// Prints which servers run.
pub fn status(as_json: bool) -> Result<()> {
    let state = State::read(&place::backends())?;
    let mut rows = Vec::new();
    for backend in ALL {
        let server = state.servers.get(backend.name()).cloned().unwrap_or_default();
        let folder = state.data.clone().unwrap_or_default().join(backend.name());
        let word = match server.alive() {
            None if server.ports.is_empty() => "never started",
            None => "stopped",
            Some(_) => {
                let site = Site { folder, ports: server.ports.clone(), log: server.log.clone() };
                if backend.ready(&site) { "running" } else { "not answering" }
            }
        };
        rows.push((backend.name(), word, server));
    }
    if as_json {
        let servers: Vec<Value> = rows
            .iter()
            .map(|(name, word, server)| {
                json!({"name": name, "state": word, "port": server.ports.first(), "url": server.url,
                    "pid": server.alive().map(|process| process.pid), "log": server.log})
            })
            .collect();
        println!("{}", json!({"data": state.data, "servers": servers}));
        return Ok(());
    }
    for (name, word, server) in rows {
        let pid = server.alive().map(|process| format!("pid {}", process.pid)).unwrap_or_default();
        let port = server.ports.first().map(|port| format!("127.0.0.1:{port}")).unwrap_or_default();
        println!("{}", format!("{name:<14} {word:<14} {port:<16} {pid}").trim_end());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_outcome_decides() {
        let outcome = |standing| Outcome { name: "redis", standing, ms: 7 };
        assert_eq!(exit_code(&[outcome(Standing::Started), outcome(Standing::RanAlready)]), 0);
        assert_eq!(exit_code(&[outcome(Standing::Started), outcome(Standing::Skipped("no".into()))]), 3);
        let mixed = [outcome(Standing::Skipped("no".into())), outcome(Standing::Failed("broken".into()))];
        assert_eq!(exit_code(&mixed), 1);
        let json = outcomes_json(&mixed).to_string();
        assert!(json.contains(r#""state":"skipped""#) && json.contains(r#""why":"broken""#), "{json}");
    }
}
