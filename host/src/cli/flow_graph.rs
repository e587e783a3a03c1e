//! `chassis flow graph`

use super::flow_files::one;
use super::{Exit, Global};
use crate::flow::graph::Graph;
use crate::telemetry::waterfall::Style;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

/// Draw a flow: its steps in the order in which they may begin, and how each is taken back
///
/// Of the file alone: neither plugins nor a host are needed, nor anything that the flow calls.
#[derive(Debug, Args)]
#[command(after_help = "\
A step begins as soon as those behind its arrow have ended; steps of one number may run at once.
`when`, `for_each` and what happens on an error stand below the step; in Mermaid its undo hangs on a dotted line.

Examples:
  chassis flow graph create-user                          a flow of the profile
  chassis flow graph draft/refund.toml                    any file
  chassis flow graph create-user --mermaid > graph.mmd    for a page: between ```mermaid and ```
  chassis flow graph create-user --json | jq .waves")]
pub(super) struct Graphed {
    /// The flow's name, or its file
    #[arg(value_name = "NAME|FILE")]
    flow: String,
    /// As a Mermaid flowchart; with --json as the field `mermaid`
    #[arg(long)]
    mermaid: bool,
}

impl Graphed {
    pub(super) fn run(&self, global: &Global) -> Result<ExitCode, Exit> {
        let flow = one(global, &self.flow)?;
        let graph = Graph::of(&flow);
        match (self.mermaid, global.json) {
            (true, true) => println!("{}", json!({ "name": flow.name, "mermaid": graph.mermaid() })),
            (true, false) => print!("{}", graph.mermaid()),
            (false, true) => println!("{}", graph.json()),
            (false, false) => print!("{}", graph.text(Style::of_terminal().width)),
        }
        Ok(ExitCode::SUCCESS)
    }
}
