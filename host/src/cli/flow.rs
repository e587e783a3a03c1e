//! `chassis flow`

use super::{Exit, Global, exit, table};
use crate::app::App;
use crate::flow::FlowSet;
use crate::request::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Read;
use std::process::ExitCode;

/// Run a flow, or list what flows there are
#[derive(Debug, Args)]
pub struct Flow {
    #[command(subcommand)]
    command: FlowCommand,
}

#[derive(Debug, Subcommand)]
enum FlowCommand {
    /// Run a flow to its end: completed, or undone (exit code 1)
    #[command(after_help = "\
Examples:
  chassis flow run create-user '{\"id\":7,\"name\":\"Ada\",\"email\":\"ada@example.org\"}'
  chassis flow run get-user '{\"id\":7}' --json | jq .steps")]
    Run {
        /// The flow's name, which is its file's
        name: String,
        /// The input as JSON; `-` reads it from standard input
        #[arg(default_value = "{}")]
        input: String,
    },
    /// List the flows with what they take
    List,
}

impl Flow {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        match self.command {
            FlowCommand::List => list(global),
            FlowCommand::Run { name, input } => run(global, &name, input).await,
        }
    }
}

fn list(global: &Global) -> Result<ExitCode, Exit> {
    let config = global.load()?;
    let flows = FlowSet::load(&config.flows_dir).map_err(crate::app::StartError::from)?;
    if global.json {
        let flows = flows.iter().map(|flow| {
            json!({ "name": flow.name, "description": flow.description, "input": flow.input.json_schema() })
        });
        println!("{}", json!({ "flows": flows.collect::<Vec<_>>() }));
    } else {
        let rows = flows
            .iter()
            .map(|flow| [flow.name.clone(), flow.input.names().join(", "), flow.description.clone()]);
        table::print(["flow", "input", "what it does"], rows);
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(global: &Global, name: &str, mut input: String) -> Result<ExitCode, Exit> {
    if input == "-" {
        input.clear();
        std::io::stdin()
            .read_to_string(&mut input)
            .map_err(|error| Exit::usage(format!("standard input: {error}")))?;
    }
    let input: Value = serde_json::from_str(&input)
        .map_err(|error| Exit::usage(format!("the input is not JSON: {error}")))?;
    let app = App::start(global.load_quiet()?).await?;
    // A run that has begun goes to its end, also when it is interrupted: `stop` waits for it.
    let ran = tokio::select! {
        ran = app.engine.run(name, input, Context::default()) => ran.map_err(Exit::from),
        _ = tokio::signal::ctrl_c() => Err(Exit::interrupted()),
    };
    app.stop().await;
    let outcome = ran?;
    if global.json {
        println!("{}", json!(outcome));
    } else if outcome.completed() {
        println!("{:#}", outcome.output);
    } else {
        let steps = outcome.steps.iter().map(|step| {
            let why = step.error.as_ref().map(ToString::to_string).unwrap_or_default();
            [step.name.clone(), step.state.as_str().to_owned(), why]
        });
        table::print(["step", "state", "why"], steps);
        eprintln!("error: the flow `{name}` is {}", outcome.state.as_str());
    }
    Ok(if outcome.completed() { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}
