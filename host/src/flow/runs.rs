//! The runs of a journal, as people see and mend them.

use super::clock;
use super::document::unknown;
use super::engine::{Engine, unwritten};
use super::model::Flow;
use super::run::{RunError, RunOutcome, StepOutcome};
use super::state::RunState;
use crate::error::CallFailure;
use crate::journal::{
    Batch, Entry, Event, Filter, History, Journal, JournalError, Nothing, OfStep, Reverted, RunContext,
    RunRow, StoreError, Turn, Unit,
};
use chassis_abi::Code;
use serde::Serialize;
use serde_json::{Value, json};

/// The runs of a journal. Where an engine is there, what is mended goes on at once; else the next host takes it up.
pub struct Runs {
    journal: Journal,
    engine: Option<Engine>,
}

/// A run in a list.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// Its id.
    pub run_id: String,
    /// The flow.
    pub flow: String,
    /// How it stands.
    pub state: RunState,
    /// When it was started.
    pub created: String,
    /// When its state last changed.
    pub updated: String,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Its trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// On whose behalf.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// Its idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The run and step that it is a part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Why it failed: the step, the code and the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
}

/// Runs, newest first.
#[derive(Clone, Debug, Serialize)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunSummary>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A run with everything that is known of it.
#[derive(Clone, Debug, Serialize)]
pub struct RunShown {
    /// The run.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// The version of its flow.
    pub version: String,
    /// How often another host, or another life of one, went on with it.
    pub taken: u32,
    /// What it answered.
    pub output: Value,
    /// Its steps, in the order of the file.
    pub steps: Vec<StepOutcome>,
    /// From its start to its last change, in milliseconds.
    pub ms: f64,
    #[serde(skip)]
    error: Option<RunError>,
}

/// The most runs of a page.
pub const PAGE: u32 = 500;

impl Engine {
    /// The runs of its journal.
    pub fn runs(&self) -> Runs {
        Runs { journal: self.journal().clone(), engine: Some(self.clone()) }
    }

    /// A run that is over, from its entries.
    pub(super) async fn recall(&self, row: RunRow) -> Result<RunOutcome, CallFailure> {
        let shown = self.runs().shown(row).await?;
        Ok(RunOutcome {
            run_id: shown.summary.run_id,
            flow: shown.summary.flow,
            state: shown.summary.state,
            output: shown.output,
            error: shown.error,
            ms: shown.ms,
            trace_id: shown.summary.trace_id,
            steps: shown.steps,
        })
    }
}

impl Runs {
    /// The runs of a journal that no engine works on here.
    pub fn of(journal: Journal) -> Self {
        Self { journal, engine: None }
    }

    /// Runs, newest first, a page at a time.
    pub async fn list(&self, filter: Filter) -> Result<RunPage, CallFailure> {
        let limit = filter.limit.clamp(1, PAGE);
        // One more tells whether there is another page.
        self.journal.caught_up().await;
        let rows = self.journal.store().list(Filter { limit: limit + 1, ..filter }).await;
        let mut rows = rows.map_err(|error| unwritten(error.into(), false))?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|last| last.id.to_string());
        Ok(RunPage { runs: rows.iter().map(RunSummary::of).collect(), next })
    }

    /// A run with its steps.
    pub async fn show(&self, run: &str) -> Result<RunShown, CallFailure> {
        let row = self.row(run).await?;
        self.shown(row).await
    }

    /// Has the undo of a stuck run tried again.
    pub async fn resume(&self, run: &str) -> Result<(), CallFailure> {
        self.mend(run, RunState::Stuck, |_| Ok(vec![Event::RunResumed(Nothing {})])).await
    }

    /// Has a completed run undone after all, as the one that it is a part of is.
    pub(super) async fn revert(&self, run: &str, parent: &str) -> Result<(), CallFailure> {
        let reverted = Event::RunReverted(Reverted { parent: parent.to_owned() });
        self.mend(run, RunState::Completed, |_| Ok(vec![reverted])).await
    }

    /// Leaves the effect of a step that could not be undone, and has the rest of the undo go on. Without a name, the one step that
    /// is blocked.
    pub async fn skip(&self, run: &str, step: Option<&str>) -> Result<(), CallFailure> {
        let step = step.map(str::to_owned);
        self.mend(run, RunState::Stuck, move |history| {
            let blocked: Vec<&str> = history.blocked().map(|step| step.name.as_str()).collect();
            let step = match (&step, blocked.as_slice()) {
                (Some(step), blocked) if blocked.contains(&step.as_str()) => step.as_str(),
                (Some(step), blocked) => {
                    return Err(wrong(Code::InvalidArgument, unknown("blocked step", step, blocked)));
                }
                (None, [only]) => only,
                (None, several) => {
                    let message = format!("several steps are blocked: name one of {}", several.join(", "));
                    return Err(wrong(Code::InvalidArgument, message));
                }
            };
            let skipped = OfStep { unit: Unit::from(step), is: Nothing {} };
            Ok(vec![Event::RunResumed(Nothing {}), Event::UndoSkipped(skipped)])
        })
        .await
    }

    /// Has a run undone that is on its way forward.
    pub async fn cancel(&self, run: &str, reason: &str) -> Result<(), CallFailure> {
        let row = self.row(run).await?;
        if row.state != RunState::Running {
            let state = row.state.as_str();
            let message = format!("the run {run} is {state}: only one that is running can be cancelled");
            return Err(wrong(Code::FailedPrecondition, message));
        }
        let asked = self.journal.store().cancel(run.to_owned(), reason.to_owned()).await;
        if !asked.map_err(|error| unwritten(error.into(), false))? {
            return Err(wrong(Code::FailedPrecondition, format!("the run {run} has just ended")));
        }
        if let Some(engine) = &self.engine {
            engine.0.cancel(run, reason);
        }
        Ok(())
    }

    /// Writes into a run that no host has. Its next one goes on with what is written.
    async fn mend(
        &self,
        run: &str,
        from: RunState,
        events: impl FnOnce(&History) -> Result<Vec<Event>, CallFailure>,
    ) -> Result<(), CallFailure> {
        let failed = |error: JournalError| unwritten(error, false);
        let row = self.row(run).await?;
        if row.state != from {
            let state = row.state.as_str();
            let message = match from {
                RunState::Stuck => {
                    format!("the run {run} is {state}: only a stuck one can be resumed or skipped")
                }
                from => format!("the run {run} is {state}, and no longer {}", from.as_str()),
            };
            return Err(wrong(Code::FailedPrecondition, message));
        }
        let mut history = self.history(&row).await?;
        let events = events(&history)?;
        let store = self.journal.store();
        if !store.seize(run.to_owned(), row.fence).await.map_err(|error| failed(error.into()))? {
            return Err(wrong(
                Code::Aborted,
                format!("somebody else has just changed the run {run}: look again"),
            ));
        }
        let mut entries = Vec::new();
        for event in events {
            let (seq, at) = (history.seq + 1, store.now());
            entries.push(event.row(seq, at));
            history.apply(Entry { seq, at, event }).map_err(|error| corrupt(run, error))?;
        }
        let turn = Turn {
            state: history.state,
            output: None,
            error: history.error.as_ref().map(|error| json!(error).to_string()),
            at: store.now(),
            release: true,
        };
        let batch = Batch { run: row.id.clone(), fence: row.fence + 1, new: None, entries, turn: Some(turn) };
        self.journal.submit(batch).await.map_err(failed)?;
        // A host that ends takes nothing more.
        if let Some(engine) = self.engine.as_ref().filter(|engine| !engine.0.handing.is_cancelled())
            && let Err(error) = engine.recover().await
        {
            tracing::warn!(%error, "the run is taken up later");
        }
        Ok(())
    }

    async fn row(&self, run: &str) -> Result<RunRow, CallFailure> {
        // The answer of a run that only read may be faster than its entries.
        self.journal.caught_up().await;
        let row =
            self.journal.store().run(run.to_owned()).await.map_err(|error| unwritten(error.into(), false))?;
        let missing = || {
            format!("there is no run `{run}` in the journal: it never was, or is older than [journal] keep")
        };
        row.ok_or_else(|| wrong(Code::NotFound, missing()))
    }

    async fn history(&self, row: &RunRow) -> Result<History, CallFailure> {
        let store = self.journal.store();
        let failed = |error: StoreError| unwritten(error.into(), false);
        let version = store.version(row.version.clone()).await.map_err(failed)?;
        // Without its flow a run is shown all the same; only steps that never began are missing.
        let flow = version.and_then(|version| Flow::parse(&version.name, "", &version.text).ok());
        let mut history = match &flow {
            Some(flow) => super::engine::history_of(flow),
            None => History::new([]),
        };
        let entries = store.entries(row.id.to_string()).await.map_err(failed)?;
        history.replay(&entries).map_err(|error| corrupt(&row.id, error))?;
        Ok(history)
    }

    async fn shown(&self, row: RunRow) -> Result<RunShown, CallFailure> {
        let history = self.history(&row).await?;
        let until = row.ended.unwrap_or(row.updated);
        Ok(RunShown {
            summary: RunSummary { state: history.state, ..RunSummary::of(&row) },
            version: row.version,
            taken: history.taken,
            output: history.output,
            steps: history.steps,
            error: history.error,
            ms: (until - row.created) as f64,
        })
    }
}

impl RunSummary {
    fn of(row: &RunRow) -> Self {
        let context: RunContext = serde_json::from_str(&row.context).unwrap_or_default();
        let trace = context.traceparent.as_deref().and_then(|parent| parent.split('-').nth(1));
        Self {
            run_id: row.id.to_string(),
            flow: row.flow.clone(),
            state: row.state,
            created: clock::text(row.created),
            updated: clock::text(row.updated),
            ended: row.ended.map(clock::text),
            trace_id: trace.map(str::to_owned),
            tenant: row.tenant.clone(),
            key: row.key.clone(),
            parent: row.parent.clone(),
            error: row.error.as_deref().and_then(|error| serde_json::from_str(error).ok()),
        }
    }
}

fn wrong(code: Code, message: String) -> CallFailure {
    CallFailure::new(code, message)
}

fn corrupt(run: &str, reason: crate::journal::Corrupt) -> CallFailure {
    let error = JournalError::Corrupt { run: run.to_owned(), reason };
    CallFailure::new(Code::DataLoss, error.to_string())
}
