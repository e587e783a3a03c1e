//! Gathers concurrent calls of an operation into calls of the one that does many (`batched_by`). No timer: a call that comes while
//! fewer than `batches` are in flight is sent alone and at once; those that come later wait for one of them to end, and go together.
//!
//! Who waits holds nothing but an answer to come. What is in flight belongs to a task of its own, so that no caller that leaves takes
//! the others' work along.

mod batch;
mod document;

use crate::config::policy::CoalesceSettings;
use crate::error::{CallError, CallFailure};
use crate::request::Reply;
use bytes::Bytes;
use chassis_abi::Code;
use futures_util::future::BoxFuture;
use opentelemetry::trace::SpanContext;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The calls of one operation that are gathered.
pub struct Coalesce<S: Sends> {
    settings: CoalesceSettings,
    state: Mutex<State<S>>,
}

/// One call that may be gathered.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its input.
    pub json: Bytes,
    /// Its idempotency key.
    pub key: Option<Arc<str>>,
    /// On whose behalf. A batch is on behalf of one.
    pub tenant: Option<Arc<str>>,
    /// Its span, as its backend is told of it; none where no backend is.
    pub traceparent: Option<Arc<str>>,
    /// The same.
    pub tracestate: Option<Arc<str>>,
    /// Its span.
    pub span: SpanContext,
    /// By when it must be answered.
    pub deadline: Option<Instant>,
}

/// How calls are sent in the end.
pub trait Sends: Clone + Send + Sync + 'static {
    /// Sends these together; `json` is their common input. Dropping the future cancels it.
    fn batch<'a>(
        &'a self,
        items: &'a [Item],
        json: Bytes,
        deadline: Option<Instant>,
    ) -> BoxFuture<'a, Result<Bytes, CallFailure>>;

    /// Sends one by itself.
    fn single(&self, item: Item) -> BoxFuture<'static, Result<Reply, CallFailure>>;

    /// The failure of one item.
    fn failed(&self, error: CallError) -> CallFailure;

    /// Whether a call that is given up may have taken effect.
    fn may_apply(&self) -> bool;
}

/// Leave to have one batch, or single call, in flight. Given back when it is dropped: then the next ones go.
pub struct Place<S: Sends>(Option<Arc<Coalesce<S>>>);

/// What one who waits is told.
enum Turn<S: Sends> {
    /// To send itself: no other waits.
    Send(Place<S>),
    /// How its item of a batch ended.
    Done(Result<Reply, CallFailure>),
}

struct Waiting<S: Sends> {
    item: Item,
    sends: S,
    runtime: Handle,
    answer: oneshot::Sender<Turn<S>>,
}

struct State<S: Sends> {
    in_flight: usize,
    waiting: VecDeque<Waiting<S>>,
}

impl<S: Sends> Coalesce<S> {
    /// Nothing in flight.
    pub fn new(settings: CoalesceSettings) -> Arc<Self> {
        Arc::new(Self { settings, state: Mutex::new(State { in_flight: 0, waiting: VecDeque::new() }) })
    }

    /// Leave to send at once, unless enough is in flight.
    pub fn place(self: &Arc<Self>) -> Option<Place<S>> {
        let mut state = self.lock();
        // Whoever waits already goes first.
        let free = state.in_flight < self.settings.batches && state.waiting.is_empty();
        free.then(|| {
            state.in_flight += 1;
            Place(Some(self.clone()))
        })
    }

    /// Waits for others to go with. `alone` is the same call by itself, for when there are none.
    pub fn join(
        self: &Arc<Self>,
        item: Item,
        sends: S,
        alone: impl Future<Output = Result<Reply, CallFailure>> + Send + 'static,
    ) -> BoxFuture<'static, Result<Reply, CallFailure>> {
        // One that is no JSON would break out of its place among the others.
        if !item.json.is_empty() && serde_json::from_slice::<&RawValue>(&item.json).is_err() {
            return Box::pin(alone);
        }
        let (answer, turn) = oneshot::channel();
        let mut state = self.lock();
        if state.in_flight < self.settings.batches && state.waiting.is_empty() {
            // One has ended since it was asked.
            state.in_flight += 1;
            drop(state);
            let place = Place(Some(self.clone()));
            return Box::pin(async move {
                let _place = place;
                alone.await
            });
        }
        if state.waiting.len() >= CROWD {
            // Of those that left, nothing is to stay when nothing moves.
            state.waiting.retain(|waiting| !waiting.answer.is_closed());
        }
        state.waiting.push_back(Waiting { item, sends, runtime: Handle::current(), answer });
        drop(state);
        Box::pin(async move {
            match turn.await {
                Ok(Turn::Done(result)) => result,
                Ok(Turn::Send(place)) => {
                    let _place = place;
                    alone.await
                }
                // Its batch was dropped with the runtime.
                Err(_) => Err(CallFailure::new(Code::Cancelled, "the host ends")),
            }
        })
    }

    /// Calls that wait at present.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.iter().filter(|waiting| !waiting.answer.is_closed()).count()
    }

    /// A place has become free: the next ones take it, or it is given back.
    fn next(self: Arc<Self>) {
        loop {
            let mut chosen = {
                let mut state = self.lock();
                let chosen = state.choose(self.settings.items);
                if chosen.is_empty() {
                    state.in_flight -= 1;
                    return;
                }
                chosen
            };
            let place = Place(Some(self.clone()));
            if chosen.len() > 1 {
                let runtime = chosen[0].runtime.clone();
                // Not by a caller: who leaves would take the others along.
                runtime.spawn(batch::run(place, chosen));
                return;
            }
            let Some(Waiting { answer, .. }) = chosen.pop() else { continue };
            match answer.send(Turn::Send(place)) {
                Err(Turn::Send(mut place)) => drop(place.0.take()),
                _ => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sends> State<S> {
    /// Takes those that go together next: in order, as many as may, and all on behalf of the same tenant.
    fn choose(&mut self, most: usize) -> Vec<Waiting<S>> {
        let mut chosen: Vec<Waiting<S>> = Vec::new();
        let mut others = VecDeque::new();
        while let Some(next) = self.waiting.pop_front() {
            if next.answer.is_closed() {
                continue;
            }
            if chosen.first().is_some_and(|first| first.item.tenant != next.item.tenant) {
                others.push_back(next);
                continue;
            }
            chosen.push(next);
            if chosen.len() == most {
                break;
            }
        }
        others.append(&mut self.waiting);
        self.waiting = others;
        chosen
    }
}

impl<S: Sends> Drop for Place<S> {
    fn drop(&mut self) {
        if let Some(of) = self.0.take() {
            of.next();
        }
    }
}

impl<S: Sends> std::fmt::Debug for Coalesce<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coalesce").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// So many that wait are looked through for those that left.
const CROWD: usize = 1024;
