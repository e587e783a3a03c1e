//! Runs flows: what is started comes into this host's hands ([`Engine`], `progress`), goes forward (`forward`, `step`, `list`, `child`,
//! `send`; `remaining` is what is still to be done, and `visible` what expressions see) and, where a step fails, back (`undo`). A run
//! that a dead host leaves is taken up (`recover`).

mod accept;
mod child;
mod forward;
mod job;
mod list;
mod progress;
mod recover;
mod remaining;
mod send;
mod started;
mod step;
mod undo;
mod visible;

pub(super) use progress::history_of;
pub use started::Started;

use crate::error::CallFailure;
use crate::flow::calls::Calls;
use crate::flow::model::Flow;
use crate::flow::run::RunOutcome;
use crate::flow::set::FlowSet;
use crate::flow::stale::Stale;
use crate::flow::trace::Spans;
use crate::journal::{FlowVersion, Journal, JournalError};
use crate::request::Context;
use arc_swap::ArcSwap;
use chassis_abi::Code;
use futures_util::FutureExt;
use progress::{Beginning, Cancel, Progress, Stop};
use serde_json::Value;
use started::Settled;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Runs flows over whoever plays their roles. Cheap to clone.
#[derive(Clone)]
pub struct Engine(pub(super) Arc<Inner>);

pub(super) struct Inner {
    flows: ArcSwap<FlowSet>,
    pub calls: Arc<dyn Calls>,
    pub spans: Spans,
    pub journal: Journal,
    runs: TaskTracker,
    /// Last good results, for steps that may do with one.
    pub stale: Stale,
    /// The runs that this host has in its hands.
    active: Mutex<HashMap<Arc<str>, Active>>,
    /// Runs of this host's own that it let go, as the journal could not be written.
    pub parked: Mutex<Vec<String>>,
    /// Versions of flows that are no longer among `flows`, and have runs.
    pub versions: Mutex<HashMap<String, Arc<Flow>>>,
    /// Whoever has the time to let a run go, does.
    pub handing: CancellationToken,
    /// This host is gone, and does nothing more.
    pub gone: CancellationToken,
}

struct Active {
    fence: i64,
    cancel: Cancel,
    settled: watch::Receiver<Option<Settled>>,
}

/// How a run is started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The same key never runs twice: the second start is told what came of the first. Without one, the context's.
    pub key: Option<Arc<str>>,
    /// On whose behalf, by when, below which span.
    pub context: Context,
    /// The run and step that this is a part of: `RUN/STEP`.
    pub parent: Option<String>,
}

/// Names the refusal of a key that was used for something else, see [`CallFailure::refused_by`].
pub const IDEMPOTENCY: &str = "idempotency";

impl Engine {
    /// An engine for these flows whose journal is in memory.
    pub fn new(flows: FlowSet, calls: Arc<dyn Calls>, spans: Spans) -> Self {
        Self::with_journal(flows, calls, spans, Journal::memory())
    }

    /// An engine for these flows. It takes up what the journal has when [`Engine::recover`] is called.
    pub fn with_journal(flows: FlowSet, calls: Arc<dyn Calls>, spans: Spans, journal: Journal) -> Self {
        Self(Arc::new(Inner {
            flows: ArcSwap::from_pointee(flows),
            calls,
            spans,
            journal,
            runs: TaskTracker::new(),
            stale: Stale::default(),
            active: Mutex::default(),
            parked: Mutex::default(),
            versions: Mutex::default(),
            handing: CancellationToken::new(),
            gone: CancellationToken::new(),
        }))
    }

    /// The flows as they are now.
    pub fn flows(&self) -> Arc<FlowSet> {
        self.0.flows()
    }

    /// Other flows from now on. Runs under way keep theirs.
    pub fn set_flows(&self, flows: FlowSet) {
        self.0.flows.store(Arc::new(flows));
    }

    /// Which plugin plays each role, as expressions see it in `roles`.
    pub fn roles(&self) -> Arc<Value> {
        self.0.calls.roles()
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// Starts a run, and answers when it is durable: whatever happens then, it goes to its end.
    ///
    /// # Errors
    /// `not_found` for an unknown flow, `invalid_argument` with the field for an input that does not fit, or for a key that was used
    /// with another input; `unavailable` when the journal cannot be written.
    pub async fn start(&self, name: &str, input: Value, start: Start) -> Result<Started, CallFailure> {
        self.begin(name, input, start, true).await
    }

    /// Runs a flow to its end: completed, undone, or stuck. Once begun, a run goes on when the caller is gone (the future is
    /// dropped): it would otherwise leave half of its work.
    ///
    /// # Errors
    /// As [`Engine::start`]. A run that began has an outcome, unless this host ends before.
    pub async fn run(&self, name: &str, input: Value, context: Context) -> Result<RunOutcome, CallFailure> {
        self.launch(name, input, context).await?.outcome().await
    }

    /// The first half of [`Engine::run`]: it is durable that the run began only where that matters, which is before its first
    /// effect, or where its key is to be found again.
    pub async fn launch(&self, name: &str, input: Value, context: Context) -> Result<Started, CallFailure> {
        self.begin(name, input, Start { context, ..Start::default() }, false).await
    }

    async fn begin(
        &self,
        name: &str,
        input: Value,
        start: Start,
        durable: bool,
    ) -> Result<Started, CallFailure> {
        let flow = self.flows().get(name)?.clone();
        let input = accept::input(&flow, &input)?;
        let Start { key, mut context, parent } = start;
        let key = match key.or(context.idempotency_key.take()) {
            None => accept::key(&flow, &input)?,
            key => key,
        };
        let body = accept::body(&input);
        let version = || FlowVersion {
            hash: flow.version.to_string(),
            name: flow.name.clone(),
            text: flow.text.to_string(),
        };
        let kept = self.0.journal.keep_version(version, &flow.version).await;
        kept.map_err(|error| unwritten(error.into(), false))?;
        let tenant = context.tenant.as_deref().unwrap_or_default().to_owned();
        let wait = durable || key.is_some();
        let (told, telling) = oneshot::channel();
        let beginning = Beginning {
            flow: flow.clone(),
            input,
            context,
            key: key.clone(),
            body: body.clone(),
            parent,
            durable: wait.then_some(told),
        };
        let progress = Progress::begin(self.0.clone(), beginning);
        let id = progress.id().clone();
        let settled = self.0.drive(progress);
        let started = Started::new(self.clone(), id.to_string(), Some(settled));
        if !wait {
            return Ok(started);
        }
        match telling.await {
            Ok(Ok(())) => Ok(started),
            Ok(Err(JournalError::Duplicate)) => self.first(&flow, tenant, key.as_deref(), &body, &id).await,
            Ok(Err(error)) => Err(unwritten(error, true)),
            Err(_) => Err(unwritten(crate::journal::StoreError::of("run", "it broke off").into(), true)),
        }
    }

    /// The run that was there before this one, of the same key.
    async fn first(
        &self,
        flow: &Flow,
        tenant: String,
        key: Option<&str>,
        body: &str,
        own: &str,
    ) -> Result<Started, CallFailure> {
        let key = key.unwrap_or_default();
        let found = self.0.journal.store().run_of_key(flow.name.clone(), tenant, key.to_owned()).await;
        let found = found.map_err(|error| unwritten(error.into(), false))?;
        let Some(first) = found else {
            let message = format!("the run with the key `{key}` was just forgotten: try again");
            return Err(CallFailure::refused(IDEMPOTENCY, Code::Aborted, message, Duration::ZERO));
        };
        if first.body != body {
            let message = format!(
                "the key `{key}` was used for flow `{}` with another input (run {}): take another key",
                flow.name, first.id
            );
            let mut failure = CallFailure::new(Code::InvalidArgument, message);
            failure.error.field = Some("idempotency-key".to_owned());
            failure.refused_by = Some(IDEMPOTENCY);
            return Err(failure);
        }
        let settled = self.0.settled(&first.id);
        // A write that was made twice finds itself.
        let replayed = *first.id != *own;
        Ok(Started::new(self.clone(), first.id.to_string(), settled).replayed(replayed))
    }

    /// Waits until no run is in this host's hands. Further runs may begin meanwhile and are waited for too.
    pub async fn idle(&self) {
        self.0.runs.close();
        self.0.runs.wait().await;
        self.0.runs.reopen();
    }

    /// The same for a host that ends: a run that only waits for its next try is left to the next host.
    pub async fn drain(&self) {
        self.0.handing.cancel();
        self.idle().await;
    }

    /// How many runs this host has in its hands now.
    pub fn running(&self) -> usize {
        self.0.active().len()
    }

    /// Lets go of every run at once, as if this host had died. The journal is not told.
    pub fn abandon(&self) {
        self.0.gone.cancel();
    }
}

impl Inner {
    /// Takes a run into this host's hands.
    pub fn drive(self: &Arc<Self>, mut progress: Progress) -> watch::Receiver<Option<Settled>> {
        let (tell, settled) = watch::channel(None);
        let (id, fence) = (progress.id().clone(), progress.fence());
        let active = Active { fence, cancel: progress.cancel.clone(), settled: settled.clone() };
        self.active().insert(id.clone(), active);
        let inner = self.clone();
        self.runs.spawn(async move {
            let run = AssertUnwindSafe(progress.run()).catch_unwind();
            let ended = tokio::select! {
                biased;
                () = inner.gone.cancelled() => Ok(Err(Stop::Handed)),
                ended = run => ended,
            };
            // Its span ends here, before anybody is told of the end and looks at the trace.
            drop(progress);
            inner.let_go(&id, fence, ended, &tell);
        });
        settled
    }

    fn let_go(
        &self,
        id: &Arc<str>,
        fence: i64,
        ended: std::thread::Result<Result<RunOutcome, Stop>>,
        tell: &watch::Sender<Option<Settled>>,
    ) {
        let settled = match ended {
            Ok(Ok(outcome)) => {
                if let Some(error) =
                    outcome.error.as_ref().filter(|_| outcome.state == crate::flow::RunState::Stuck)
                {
                    let (flow, why) = (&outcome.flow, &error.failure);
                    tracing::error!(run = %id, %flow, %why, "the run is stuck: see `chassis runs show`, then resume or skip");
                }
                Settled::Over(Arc::new(outcome))
            }
            Ok(Err(stop)) => {
                match &stop {
                    Stop::Duplicate | Stop::Handed => {}
                    Stop::Lost => tracing::warn!(run = %id, "another host has taken the run"),
                    Stop::Unwritten(error) => {
                        tracing::warn!(run = %id, %error, "the run waits until the journal can be written");
                        self.parked.lock().unwrap_or_else(PoisonError::into_inner).push(id.to_string());
                    }
                    Stop::Defect(what) => tracing::error!(run = %id, what, "the run broke off"),
                }
                Settled::Elsewhere(Arc::new(stop))
            }
            Err(_) => {
                tracing::error!(run = %id, "the run broke off by a panic; the next start goes on with it");
                Settled::Elsewhere(Arc::new(Stop::Defect("it broke off by a panic".to_owned())))
            }
        };
        tell.send_replace(Some(settled));
        let mut active = self.active();
        if active.get(id).is_some_and(|active| active.fence == fence) {
            active.remove(id);
        }
    }

    /// How a run that this host has ends.
    pub fn settled(&self, id: &str) -> Option<watch::Receiver<Option<Settled>>> {
        self.active().get(id).map(|active| active.settled.clone())
    }

    /// Asks a run that this host has to be cancelled.
    pub fn cancel(&self, id: &str, reason: &str) {
        if let Some(active) = self.active().get(id) {
            active.cancel.ask(reason);
        }
    }

    pub fn flows(&self) -> Arc<FlowSet> {
        self.flows.load_full()
    }

    fn active(&self) -> MutexGuard<'_, HashMap<Arc<str>, Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is told when the journal fails; `begun` says whether the run may be in it all the same.
pub(super) fn unwritten(error: JournalError, begun: bool) -> CallFailure {
    let mut failure = CallFailure::new(Code::Unavailable, error.to_string());
    failure.error.retryable = true;
    failure.error.maybe_applied = begun;
    failure
}
