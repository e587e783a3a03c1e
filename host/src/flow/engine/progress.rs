//! A run in the hands of this host: what is known of it, and how that becomes durable.

use super::Inner;
use crate::error::CallFailure;
use crate::flow::clock;
use crate::flow::model::Flow;
use crate::flow::run::RunOutcome;
use crate::flow::scope::Scope;
use crate::flow::state::RunState;
use crate::flow::trace::Span;
use crate::journal::{
    Batch, Corrupt, Entry, EntryRow, Event, History, JournalError, Millis, Receipt, RunContext, RunRow,
    Taken, Turn,
};
use crate::request::Context;
use crate::telemetry::{ProcessSpan, propagation};
use chassis_abi::Code;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A run that is under way.
pub struct Progress {
    pub(super) flow: Arc<Flow>,
    pub(super) engine: Arc<Inner>,
    pub(super) scope: Scope,
    pub(super) context: Context,
    pub(super) run_id: Arc<str>,
    pub(super) span: Span,
    pub(super) history: History,
    /// The processing of the message that the flow consumes.
    pub(super) message: Option<ProcessSpan>,
    pub(super) cancel: Cancel,
    /// Whether an effect was sent, or somebody counts on the run: then it is not over before that is durable.
    pub(super) counts: bool,
    /// A step whose output cannot be made again of what the journal has.
    pub(super) untold: Option<(usize, CallFailure)>,
    fence: i64,
    created: Millis,
    begun: Instant,
    /// The row, until it is on its way.
    new: Option<Box<RunRow>>,
    /// Entries that are not on their way.
    pending: Vec<EntryRow>,
    turn: Option<Turn>,
    /// Writes whose end nobody has waited for.
    unconfirmed: Vec<Receipt>,
    /// Is told when the run is durable.
    durable: Option<oneshot::Sender<Result<(), JournalError>>>,
}

/// Somebody's wish that a run be cancelled.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    pub(super) token: CancellationToken,
    pub(super) reason: Arc<std::sync::OnceLock<String>>,
}

/// Why this host goes no further with a run that is not over.
#[derive(Debug)]
pub enum Stop {
    /// There is a run with its key: this one never began.
    Duplicate,
    /// Another host has it.
    Lost,
    /// The journal cannot be written. It is tried again later.
    Unwritten(JournalError),
    /// This host ends; the next one goes on.
    Handed,
    /// What happened cannot have happened.
    Defect(String),
}

/// A run that begins.
pub(super) struct Beginning {
    pub flow: Arc<Flow>,
    pub input: Value,
    pub context: Context,
    pub key: Option<Arc<str>>,
    pub body: String,
    pub parent: Option<String>,
    pub durable: Option<oneshot::Sender<Result<(), JournalError>>>,
}

impl Progress {
    /// A run of which nothing has happened.
    pub(super) fn begin(engine: Arc<Inner>, beginning: Beginning) -> Self {
        let Beginning { flow, input, mut context, key, body, parent, durable } = beginning;
        let run_id: Arc<str> = Arc::from(uuid::Uuid::now_v7().to_string());
        let created = engine.journal.store().now();
        let span = engine.spans.flow(&flow.name, &run_id, &context.trace);
        context.trace = span.context().clone();
        if let Some(limit) = flow.deadline {
            context = context.within(limit);
        }
        let row = RunRow {
            id: run_id.clone(),
            flow: flow.name.clone(),
            version: flow.version.to_string(),
            tenant: context.tenant.as_deref().unwrap_or_default().to_owned(),
            key: key.as_deref().map(str::to_owned),
            body,
            state: RunState::Running,
            input: input.to_string(),
            context: json!(kept(&context, created)).to_string(),
            parent,
            output: None,
            error: None,
            cancel: None,
            created,
            updated: created,
            ended: None,
            owner: Some(engine.journal.lease().host().to_owned()),
            fence: 1,
        };
        let history = history_of(&flow);
        let counts = key.is_some() || durable.is_some();
        let progress = Self::made(engine, flow, &row, input, history, context, span);
        Self { new: Some(Box::new(row)), durable, counts, ..progress }
    }

    /// A run that some host began, or this one in another life.
    pub(super) fn take(
        engine: Arc<Inner>,
        flow: Arc<Flow>,
        row: &RunRow,
        entries: &[EntryRow],
    ) -> Result<Self, Corrupt> {
        let mut history = history_of(&flow);
        history.replay(entries)?;
        let input: Value = serde_json::from_str(&row.input).unwrap_or_default();
        let kept: RunContext = serde_json::from_str(&row.context).unwrap_or_default();
        let mut context = context_of(&kept, engine.journal.store().now());
        let span = engine.spans.flow(&flow.name, &row.id, &context.trace);
        context.trace = span.context().clone();
        let mut progress = Self::made(engine, flow, row, input, history, context, span);
        progress.counts = true;
        progress.untold = progress.tell_all().err();
        if let Some(reason) = &row.cancel {
            progress.cancel.ask(reason);
        }
        let host = progress.engine.journal.lease().name().to_owned();
        // The one entry that can always follow.
        let _ = progress.record(Event::RunTaken(Taken { host }));
        Ok(progress)
    }

    fn made(
        engine: Arc<Inner>,
        flow: Arc<Flow>,
        row: &RunRow,
        input: Value,
        history: History,
        context: Context,
        span: Span,
    ) -> Self {
        let run = json!({ "id": &*row.id, "started_at": clock::text(row.created) });
        let scope = Scope::new(Arc::new(input), Arc::new(run), engine.calls.roles());
        Self {
            scope,
            context,
            span,
            history,
            run_id: row.id.clone(),
            fence: row.fence,
            created: row.created,
            begun: Instant::now(),
            flow,
            engine,
            message: None,
            cancel: Cancel::default(),
            counts: false,
            untold: None,
            new: None,
            pending: Vec::new(),
            turn: None,
            unconfirmed: Vec::new(),
            durable: None,
        }
    }

    /// The run's id.
    pub(super) fn id(&self) -> &Arc<str> {
        &self.run_id
    }

    /// The number with which this host has it.
    pub(super) fn fence(&self) -> i64 {
        self.fence
    }

    /// Takes note of something; durable with the next [`Progress::commit`].
    pub(super) fn record(&mut self, event: Event) -> Result<(), Stop> {
        let (seq, at) = (self.history.seq + 1, self.engine.journal.store().now());
        let row = event.row(seq, at);
        self.history.apply(Entry { seq, at, event }).map_err(|error| Stop::Defect(error.to_string()))?;
        self.pending.push(row);
        Ok(())
    }

    /// Has the run's row say how the run stands.
    pub(super) fn turn(&mut self, release: bool) {
        let history = &self.history;
        self.turn = Some(Turn {
            state: history.state,
            output: (history.state == RunState::Completed).then(|| history.output.to_string()),
            error: history.error.as_ref().map(|error| json!(error).to_string()),
            at: self.engine.journal.store().now(),
            release,
        });
    }

    /// Waits until everything that was recorded is durable.
    pub(super) async fn commit(&mut self) -> Result<(), Stop> {
        self.flush()?;
        for receipt in std::mem::take(&mut self.unconfirmed) {
            if let Err(error) = receipt.await {
                if let Some(durable) = self.durable.take() {
                    let _ = durable.send(Err(error.clone()));
                }
                return Err(error.into());
            }
        }
        if let Some(durable) = self.durable.take() {
            let _ = durable.send(Ok(()));
        }
        Ok(())
    }

    /// Has everything that was recorded written, and waits for nothing.
    pub(super) fn flush(&mut self) -> Result<(), Stop> {
        use futures_util::FutureExt;
        let mut failed = None;
        self.unconfirmed.retain_mut(|receipt| match receipt.now_or_never() {
            None => true,
            Some(told) => {
                failed = failed.take().or(told.err());
                false
            }
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        if self.pending.is_empty() && self.new.is_none() && self.turn.is_none() {
            return Ok(());
        }
        let batch = Batch {
            run: self.run_id.clone(),
            fence: self.fence,
            new: self.new.take(),
            entries: std::mem::take(&mut self.pending),
            turn: self.turn.take(),
        };
        self.unconfirmed.push(self.engine.journal.submit(batch));
        Ok(())
    }

    /// Makes sure that nobody else has the run, where this host has not been heard of for too long.
    pub(super) async fn still_ours(&self) -> Result<(), Stop> {
        let journal = &self.engine.journal;
        if !journal.store().is_shared() || journal.lease().is_sure() {
            return Ok(());
        }
        match journal.store().holds(self.run_id.to_string(), self.fence).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Stop::Lost),
            Err(error) => Err(Stop::Unwritten(error.into())),
        }
    }

    /// Whether it is durable that the run began.
    pub(super) fn is_new(&self) -> bool {
        self.new.is_some()
    }

    /// How it stands, for whoever waits for it.
    pub(super) fn outcome(&mut self) -> RunOutcome {
        let elapsed = self.elapsed();
        let code = self.history.error.as_ref().map(|error| error.failure.code());
        self.engine.spans.ended(&mut self.span, &self.flow.name, (self.history.state, code), elapsed);
        RunOutcome {
            run_id: self.run_id.to_string(),
            flow: self.flow.name.clone(),
            state: self.history.state,
            output: std::mem::take(&mut self.history.output),
            error: self.history.error.clone(),
            ms: elapsed.as_secs_f64() * 1e3,
            trace_id: self.span.trace_id(),
            steps: std::mem::take(&mut self.history.steps),
        }
    }

    /// Since the run began, wherever that was.
    fn elapsed(&self) -> Duration {
        if self.history.taken == 0 {
            return self.begun.elapsed();
        }
        let ms = self.engine.journal.store().now() - self.created;
        Duration::from_millis(u64::try_from(ms).unwrap_or_default())
    }
}

impl Cancel {
    /// Asks for it. The first reason counts.
    pub fn ask(&self, reason: &str) {
        let _ = self.reason.set(reason.to_owned());
        self.token.cancel();
    }
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Duplicate => Self::Duplicate,
            JournalError::Lost => Self::Lost,
            error => Self::Unwritten(error),
        }
    }
}

impl Stop {
    /// As whoever waits for the run is told.
    pub(super) fn failure(&self, run_id: &str) -> CallFailure {
        let (code, why) = match self {
            Self::Duplicate => (Code::AlreadyExists, "there is a run with its key".to_owned()),
            Self::Lost => (Code::Unavailable, "another host goes on with it".to_owned()),
            Self::Unwritten(error) => (Code::Unavailable, error.to_string()),
            Self::Handed => {
                (Code::Unavailable, "this host ends, and the next one goes on with it".to_owned())
            }
            Self::Defect(what) => (Code::Internal, what.clone()),
        };
        let mut failure = CallFailure::new(code, format!("the run {run_id} is not over: {why}"));
        failure.error.retryable = matches!(self, Self::Unwritten(_));
        failure.error.maybe_applied = true;
        failure
    }
}

/// The history of a run of which nothing has happened.
pub fn history_of(flow: &Flow) -> History {
    History::new(flow.steps.iter().map(|step| (step.name.as_str(), step.work.to_string())))
}

fn kept(context: &Context, now: Millis) -> RunContext {
    let trace = &context.trace;
    let left = context.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    RunContext {
        traceparent: trace.is_valid().then(|| propagation::traceparent(trace).to_string()),
        tracestate: propagation::tracestate(trace).map(|state| state.to_string()),
        deadline: left.map(|left| now.saturating_add(i64::try_from(left.as_millis()).unwrap_or(i64::MAX))),
        tenant: context.tenant.as_deref().map(str::to_owned),
    }
}

fn context_of(kept: &RunContext, now: Millis) -> Context {
    let trace =
        kept.traceparent.as_deref().map(|parent| propagation::parse(parent, kept.tracestate.as_deref()));
    let left = |deadline: Millis| Duration::from_millis(u64::try_from(deadline - now).unwrap_or_default());
    let context = Context { tenant: kept.tenant.as_deref().map(Arc::from), ..Context::default() };
    Context {
        trace: trace.unwrap_or(context.trace),
        deadline: kept.deadline.map(|deadline| Instant::now() + left(deadline)),
        ..context
    }
}
