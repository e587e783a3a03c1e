//! The command line: one file a command. Commands run in this process: the profile is loaded, the work done, and all is closed
//! again. What runs flows asks the host that has the journal, where one has.

mod call;
mod client;
mod config;
mod demo;
mod draw_run;
mod exit;
mod fault;
mod flow;
mod flow_check;
mod flow_files;
mod flow_graph;
mod flow_new;
mod flow_test;
mod health;
mod instances;
mod jaeger;
mod log;
mod plugins;
mod remote;
mod run;
mod runs;
mod table;
mod trace;

pub use exit::Exit;
pub(crate) use remote::Remote;

use crate::config::{Config, Source};
use crate::flow::expression::STACK;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// A host for backends in shared libraries.
///
/// A profile says which instances of which plugins there are, and which roles they play; flows are business operations over
/// these roles. Every call is traced, measured and protected.
#[derive(Debug, Parser)]
#[command(name = "chassis", version, after_help = AFTER, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The profile: `embedded`, `local`, `compose`, or `config/NAME.toml`
    #[arg(long, global = true, value_name = "NAME", default_value = "embedded", env = "CHASSIS_PROFILE")]
    profile: String,
    /// A configuration file instead of a profile
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer in JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Demo(demo::Demo),
    Call(call::CallArgs),
    Flow(flow::Flow),
    Runs(runs::RunsArgs),
    Fault(fault::Fault),
    Log(log::Log),
    Trace(trace::TraceArgs),
    Health(health::Health),
    Plugins(plugins::PluginsArgs),
    Instances(instances::InstancesArgs),
    Config(config::ConfigArgs),
}

const AFTER: &str = "\
Examples:
  chassis demo                                        the whole story, on this machine alone
  chassis run                                         serve on 127.0.0.1:7700; the page /docs says what there is
  chassis instances                                   what can be called
  chassis call sessions set '{\"key\":\"a\",\"value\":1}'   call one operation
  chassis flow run get-user '{\"id\":1}'                run a flow
  chassis flow new refund-order                       write a flow to edit, and cases beside it
  chassis flow check flows/get-user.toml              is a flow right, before it runs?
  chassis flow graph create-user                      what runs when, and how is it taken back?
  chassis flow test                                   run the cases written beside the flows
  chassis runs list --state stuck                     which runs need a hand?
  chassis trace last                                  what the last request or run did, and when
  chassis log set info,chassis::call=debug            more log lines, of one module, at run time
  chassis --profile local health                      are the six real servers well?
  chassis config check --profile local                is the configuration right?

Settings:
  Any setting can be overridden by a variable: CHASSIS__EDGE__LISTEN=127.0.0.1:8000 is [edge] listen.
  CHASSIS_PLUGINS_DIR names the folder of plugins; CHASSIS_LOG the log level (info, debug, chassis=trace).

Exit codes:
  0  done            1  the operation failed, or a flow was undone     2  wrong usage
  3  wrong configuration                  4  unavailable, late or refused: the same may succeed later
  130  interrupted";

/// Reads the arguments, does what they say, and answers with the exit code.
pub fn main() -> ExitCode {
    let Cli { command, global } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::misused(&error),
    };
    // Flows are read, and run, on its threads.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return exit::told(&Exit::failed(format!("no runtime: {error}")), global.json),
    };
    let done = runtime.block_on(dispatch(command, &global));
    // A read of standard input cannot be cancelled; nobody waits for it.
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(exit) => exit::told(&exit, global.json),
    }
}

async fn dispatch(command: Command, global: &Global) -> Result<ExitCode, Exit> {
    match command {
        Command::Run(run) => run.run(global).await,
        Command::Demo(demo) => demo.run(global).await,
        Command::Call(call) => call.run(global).await,
        Command::Flow(flow) => flow.run(global).await,
        Command::Runs(runs) => runs.run(global).await,
        Command::Fault(fault) => fault.run(global).await,
        Command::Log(log) => log.run(global).await,
        Command::Trace(trace) => trace.run(global).await,
        Command::Health(health) => health.run(global).await,
        Command::Plugins(plugins) => plugins.run(global).await,
        Command::Instances(instances) => instances.run(global).await,
        Command::Config(config) => config.run(global).await,
    }
}

impl Global {
    /// The configuration that was asked for.
    fn load(&self) -> Result<Config, Exit> {
        Ok(Config::load(&self.source())?)
    }

    fn source(&self) -> Source {
        match &self.config {
            Some(file) => Source::File(file.clone()),
            None => Source::Profile(self.profile.clone()),
        }
    }

    /// The same for a command that is soon over: its answer is what counts, so only errors are logged. `CHASSIS_LOG` shows more.
    fn load_quiet(&self) -> Result<Config, Exit> {
        let mut config = self.load()?;
        config.telemetry.log = "error".to_owned();
        Ok(config)
    }
}
