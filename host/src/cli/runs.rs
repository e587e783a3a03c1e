//! `chassis runs`

use super::remote::Remote;
use super::{Exit, Global, draw_run, table};
use crate::config::units::Span;
use crate::flow::{RunState, Runs};
use crate::journal::{Filter, Journal, Millis, OpenError, Place};
use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde_json::{Value, json};
use std::process::ExitCode;

/// See how runs of flows stand, and help those that are stuck
///
/// A run is written down before it acts, so it is seen here whatever became of its host. Where a host has the journal, it is asked;
/// otherwise the journal is opened, and what is mended goes on with the next start.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chassis runs list --state stuck             what needs a hand
  chassis runs list --flow create-user --since 1h
  chassis runs show 0192d0f0-…                each step, its tries, its undo
  chassis runs resume 0192d0f0-…              the backend is back: try the undo again
  chassis runs skip 0192d0f0-… session        leave this step's effect, go on with the others
  chassis runs cancel 0192d0f0-…              undo what it did so far

States: running, undoing, completed, undone, cancelled, and stuck: its undo failed ten times.")]
pub struct RunsArgs {
    #[command(subcommand)]
    command: RunsCommand,
}

#[derive(Debug, Subcommand)]
enum RunsCommand {
    /// List runs, newest first
    List {
        /// Of this flow only
        #[arg(long)]
        flow: Option<String>,
        /// In this state only
        #[arg(long)]
        state: Option<State>,
        /// Started so long ago or later: 15m, 2h, 1d
        #[arg(long, value_parser = span)]
        since: Option<Span>,
        /// The page after this run, which was the last of the page before
        #[arg(long, value_name = "RUN")]
        before: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show a run: each step with its time, tries, state and error
    Show {
        /// The run's id
        run: String,
    },
    /// Try the undo of a stuck run again
    Resume {
        /// The run's id
        run: String,
    },
    /// Leave what a step of a stuck run did, and go on with the undo of the others
    Skip {
        /// The run's id
        run: String,
        /// The step; needed where several are blocked
        step: Option<String>,
    },
    /// Have a running run undone
    Cancel {
        /// The run's id
        run: String,
        /// Why, for whoever looks at it later
        #[arg(long, default_value = "cancelled by hand")]
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Running,
    Undoing,
    Completed,
    Undone,
    Stuck,
    Cancelled,
}

/// Where runs are asked for.
enum Source {
    Host(Remote),
    Journal(Journal),
}

impl RunsArgs {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        let config = global.load_quiet()?;
        let place = config.journal.place().map_err(|error| Exit::usage(error.to_string()))?;
        let source = match (place.holder(), &place) {
            (_, Place::Memory) => {
                return Err(Exit::usage(
                    "the journal of this profile is in memory: there is nothing to see from here",
                ));
            }
            (Some(holder), _) if holder.address.is_some() => {
                Source::Host(Remote::at(holder.address.as_deref().unwrap_or_default()))
            }
            _ => Source::Journal(Journal::open(&config.journal).await.map_err(taken)?),
        };
        let shown = match &source {
            Source::Host(remote) => self.ask(remote).await,
            Source::Journal(journal) => {
                let shown = self.look(&Runs::of(journal.clone()), journal.store().now()).await;
                journal.close().await;
                shown
            }
        }?;
        self.tell(global, &shown, matches!(source, Source::Journal(_)));
        Ok(ExitCode::SUCCESS)
    }

    async fn ask(&self, remote: &Remote) -> Result<Value, Exit> {
        let of = |run: &str, what: &str| format!("/v1/runs/{}{what}", escaped(run));
        match &self.command {
            RunsCommand::List { flow, state, since, before, limit } => {
                let mut path = format!("/v1/runs?limit={limit}");
                let state = state.map(|state| RunState::from(state).as_str().to_owned());
                let since = since.map(|since| since.to_string());
                for (name, value) in
                    [("flow", flow), ("state", &state), ("since", &since), ("before", before)]
                {
                    if let Some(value) = value {
                        path.push_str(&format!("&{name}={}", escaped(value)));
                    }
                }
                remote.get(Method::GET, &path, None).await
            }
            RunsCommand::Show { run } => remote.get(Method::GET, &of(run, ""), None).await,
            RunsCommand::Resume { run } => remote.get(Method::POST, &of(run, "/resume"), None).await,
            RunsCommand::Skip { run, step } => {
                remote.get(Method::POST, &of(run, "/skip"), Some(&json!({ "step": step }))).await
            }
            RunsCommand::Cancel { run, reason } => {
                remote.get(Method::POST, &of(run, "/cancel"), Some(&json!({ "reason": reason }))).await
            }
        }
    }

    async fn look(&self, runs: &Runs, now: Millis) -> Result<Value, Exit> {
        let run = match &self.command {
            RunsCommand::List { flow, state, since, before, limit } => {
                let filter = Filter {
                    flow: flow.clone(),
                    state: state.map(RunState::from),
                    since: since.map(|Span(ago)| now - Millis::try_from(ago.as_millis()).unwrap_or(now)),
                    before: before.clone(),
                    limit: *limit,
                };
                return Ok(json!(runs.list(filter).await?));
            }
            RunsCommand::Show { run } => run,
            RunsCommand::Resume { run } => {
                runs.resume(run).await?;
                run
            }
            RunsCommand::Skip { run, step } => {
                runs.skip(run, step.as_deref()).await?;
                run
            }
            RunsCommand::Cancel { run, reason } => {
                runs.cancel(run, reason).await?;
                run
            }
        };
        Ok(json!(runs.show(run).await?))
    }

    fn tell(&self, global: &Global, shown: &Value, offline: bool) {
        if global.json {
            println!("{shown}");
            return;
        }
        if !matches!(self.command, RunsCommand::List { .. }) {
            draw_run::draw(shown);
            let mends = !matches!(self.command, RunsCommand::Show { .. });
            if offline && mends {
                println!("No host has the journal now: the next one that starts goes on with the run.");
            }
            return;
        }
        let text = |run: &Value, field: &str| run[field].as_str().unwrap_or_default().to_owned();
        let rows = shown["runs"].as_array().into_iter().flatten().map(|run| {
            let why = match run["error"].as_object() {
                Some(error) => format!(
                    "{}: {}",
                    text(&run["error"], "step"),
                    error["message"].as_str().unwrap_or_default()
                ),
                None => String::new(),
            };
            [text(run, "run_id"), text(run, "flow"), text(run, "state"), text(run, "created"), why]
        });
        table::print(["run", "flow", "state", "started", "why"], rows);
        if let Some(next) = shown["next"].as_str() {
            println!("There are more: --before {next}");
        }
    }
}

impl From<State> for RunState {
    fn from(state: State) -> Self {
        match state {
            State::Running => Self::Running,
            State::Undoing => Self::Undoing,
            State::Completed => Self::Completed,
            State::Undone => Self::Undone,
            State::Stuck => Self::Stuck,
            State::Cancelled => Self::Cancelled,
        }
    }
}

/// The journal does not open.
pub(super) fn taken(error: OpenError) -> Exit {
    crate::app::StartError::from(error).into()
}

fn span(text: &str) -> Result<Span, String> {
    let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    Span::deserialize(text).map_err(|error| error.to_string())
}

/// As part of a path or query.
pub(super) fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
