//! `chassis log`

use super::client::At;
use super::{Exit, Global};
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

/// See and change which log lines a host that runs writes
///
/// A filter is a level for all lines (off, error, warn, info, debug, trace), and others for single modules, with commas between them.
/// It holds until it is changed again or the host ends; `[telemetry] log` and CHASSIS_LOG say what holds at the start.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chassis log show
  chassis log set info,chassis::call=debug       also the calls that failed by their caller's fault, or were refused
  chassis log set info,chassis::plugin=debug     what the plugins say of themselves
  chassis log set warn,chassis::flow=trace
  chassis log set info                           as it was

Modules: chassis::call (failed calls), chassis::plugin, chassis::policy (breakers), chassis::flow, chassis::journal,
chassis::registry, chassis::triggers, chassis::edge, and the names of libraries (hyper=debug).")]
pub struct Log {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the filter in force, and who said so
    Show {
        #[command(flatten)]
        at: At,
    },
    /// Have other lines written from now on
    Set {
        /// The filter: `info,chassis::call=debug`
        filter: String,
        #[command(flatten)]
        at: At,
    },
}

impl Log {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        let (method, body, at) = match self.verb {
            Verb::Show { at } => (Method::GET, None, at),
            Verb::Set { filter, at } => (Method::PUT, Some(json!({ "filter": filter })), at),
        };
        let tells = |answer: &Value| answer["filter"].is_string();
        let answer = at.ask_host(global, method, "/v1/log", body.as_ref(), tells).await?;
        if global.json {
            println!("{answer}");
        } else {
            let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
            let source = match answer["source"].as_str() {
                Some("request") => "set at run time".to_owned(),
                _ => format!("from {}", text("source")),
            };
            println!("{}  ({source})", text("filter"));
        }
        Ok(ExitCode::SUCCESS)
    }
}
