//! `chassis flow`

use super::remote::Remote;
use super::runs::escaped;
use super::{Exit, Global, exit, flow_check, flow_graph, flow_new, flow_test, table};
use crate::app::App;
use crate::config::Config;
use crate::flow::FlowSet;
use crate::request::Context;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};
use std::io::Read;
use std::process::ExitCode;

/// Run flows, write, draw, check and test them, or list what flows there are
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
    /// Tell everything that is wrong with flows, before they run; starts nothing
    #[command(after_help = "\
Each is told with file, line, column, field and the nearest right name: an instance, operation or field that there is not, steps
that wait for each other, an input that does not fit the operation's schema, an effect that nothing takes back.
The exit code is 3 if anything is wrong; with --json the problems go to standard error as {\"error\":{\"problems\":[…]}}.

Examples:
  chassis flow check                       all flows of the profile
  chassis flow check create-user           one of them
  chassis flow check draft/refund.toml     one that is not among them yet")]
    Check {
        /// Names of flows of the profile, or files; without any, all flows of the profile
        #[arg(value_name = "NAME|FILE")]
        which: Vec<String>,
    },
    New(flow_new::New),
    Graph(flow_graph::Graphed),
    Test(flow_test::Tested),
}

impl Flow {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        match self.command {
            FlowCommand::List => list(global),
            FlowCommand::Check { which } => flow_check::run(global, &which).await,
            FlowCommand::New(new) => new.run(global),
            FlowCommand::Graph(graph) => graph.run(global),
            FlowCommand::Test(test) => test.run(global).await,
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
    let config = global.load_quiet()?;
    let outcome = match serving(&config) {
        Some(remote) => ask(&remote, name, &input).await?,
        None => run_here(config, name, input).await?,
    };
    let completed = outcome["state"] == "completed";
    if global.json {
        println!("{outcome}");
    } else if completed {
        println!("{:#}", outcome["output"]);
    } else {
        let steps = outcome["steps"].as_array().into_iter().flatten().map(|step| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let why = match &step["error"] {
                Value::Object(error) => format!("{}: {}", text(&error["code"]), text(&error["message"])),
                _ => String::new(),
            };
            [text(&step["name"]), text(&step["state"]), why]
        });
        table::print(["step", "state", "why"], steps);
        let state = outcome["state"].as_str().unwrap_or_default();
        eprintln!(
            "error: the flow `{name}` is {state}; `chassis runs show {}` tells more",
            outcome["run_id"].as_str().unwrap_or_default()
        );
    }
    Ok(if completed { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

/// The host that has the journal and can be asked.
fn serving(config: &Config) -> Option<Remote> {
    let address = config.journal.place().ok()?.holder()?.address?;
    Some(Remote::at(&address))
}

async fn ask(remote: &Remote, name: &str, input: &Value) -> Result<Value, Exit> {
    let path = format!("/v1/flows/{}", escaped(name));
    let answer = remote.ask(Method::POST, &path, Some(input)).await?;
    let ran = answer.headers.get("x-chassis-run").and_then(|id| id.to_str().ok());
    let Some(id) = ran.or(answer.body["run"]["id"].as_str()) else { return Err(Exit::problem(answer.body)) };
    remote.get(Method::GET, &format!("/v1/runs/{}", escaped(id)), None).await
}

async fn run_here(config: Config, name: &str, input: Value) -> Result<Value, Exit> {
    let app = App::start(config).await?;
    // A run that has begun goes to its end, also when it is interrupted: `stop` waits for it.
    let ran = tokio::select! {
        ran = app.engine.run(name, input, Context::default()) => ran.map_err(Exit::from),
        _ = tokio::signal::ctrl_c() => Err(Exit::interrupted()),
    };
    app.stop().await;
    ran.map(|outcome| json!(outcome))
}
