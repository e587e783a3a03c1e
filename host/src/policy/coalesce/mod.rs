//! Gathers concurrent calls of an operation into calls of the one that does many (`batched_by`). No timer: a call that comes while
//! nothing is in flight is sent alone and at once; those that come later go together when a batch ends, or beside it, as soon as they
//! are half as many: a few calls beside a large batch would cost the server as much as the batch does. Nobody waits for a batch that
//! takes long.
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
use std::time::Duration;
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
pub struct Place<S: Sends> {
    of: Arc<Coalesce<S>>,
    items: usize,
}

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
    /// Batches, and single calls, in flight.
    in_flight: usize,
    /// The calls in them.
    items: usize,
    /// When the last of them was sent.
    sent: Option<Instant>,
    waiting: VecDeque<Waiting<S>>,
}

impl<S: Sends> Coalesce<S> {
    /// Nothing in flight.
    pub fn new(settings: CoalesceSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            state: Mutex::new(State { in_flight: 0, items: 0, sent: None, waiting: VecDeque::new() }),
        })
    }

    /// Leave to send at once, unless enough is in flight.
    pub fn place(self: &Arc<Self>) -> Option<Place<S>> {
        let mut state = self.lock();
        // Whoever waits already goes first.
        let free = state.waiting.is_empty() && state.may_go(1, self.settings.batches);
        free.then(|| self.taken(&mut state, 1))
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
        if state.waiting.is_empty() && state.may_go(1, self.settings.batches) {
            // One has ended since it was asked.
            let place = self.taken(&mut state, 1);
            drop(state);
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
        let next = self.next(&mut state);
        drop(state);
        self.send(next);
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

    /// Takes those who wait, if they may go.
    fn next(self: &Arc<Self>, state: &mut State<S>) -> Option<(Place<S>, Vec<Waiting<S>>)> {
        let CoalesceSettings { batches, items } = self.settings;
        if !state.may_go(state.waiting.len().min(items), batches) {
            return None;
        }
        let mut chosen = Vec::new();
        state.choose(&mut chosen, items);
        (!chosen.is_empty()).then(|| (self.taken(state, chosen.len()), chosen))
    }

    /// Has them sent. Not by a caller: who leaves would take the others along.
    fn send(self: &Arc<Self>, next: Option<(Place<S>, Vec<Waiting<S>>)>) {
        let Some((place, chosen)) = next else { return };
        let Some(runtime) = chosen.first().map(|first| first.runtime.clone()) else { return };
        runtime.spawn(self.clone().go(place, chosen));
    }

    async fn go(self: Arc<Self>, mut place: Place<S>, mut chosen: Vec<Waiting<S>>) {
        // Calls that are about to come do so now, and go along.
        tokio::task::yield_now().await;
        {
            let mut state = self.lock();
            state.choose(&mut chosen, self.settings.items);
            state.items = state.items + chosen.len() - place.items;
            place.items = chosen.len();
        }
        match chosen.pop() {
            Some(only) if chosen.is_empty() => {
                // If it has left, its place goes to the next.
                let _ = only.answer.send(Turn::Send(place));
            }
            Some(last) => {
                chosen.push(last);
                batch::run(place, chosen).await;
            }
            None => {}
        }
    }

    fn taken(self: &Arc<Self>, state: &mut State<S>, items: usize) -> Place<S> {
        state.in_flight += 1;
        state.items += items;
        state.sent = Some(Instant::now());
        Place { of: self.clone(), items }
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sends> State<S> {
    /// Whether so many may go now.
    fn may_go(&self, count: usize, batches: usize) -> bool {
        let many = 2 * count >= self.items;
        self.in_flight < batches && (many || self.sent.is_some_and(|sent| sent.elapsed() >= SLOW))
    }

    /// Takes those that go together next: in order, as many as may, and all on behalf of the same tenant.
    fn choose(&mut self, chosen: &mut Vec<Waiting<S>>, most: usize) {
        let mut others = VecDeque::new();
        while chosen.len() < most
            && let Some(next) = self.waiting.pop_front()
        {
            if next.answer.is_closed() {
                continue;
            }
            if chosen.first().is_some_and(|first| first.item.tenant != next.item.tenant) {
                others.push_back(next);
                continue;
            }
            chosen.push(next);
        }
        others.append(&mut self.waiting);
        self.waiting = others;
    }
}

impl<S: Sends> Drop for Place<S> {
    fn drop(&mut self) {
        let next = {
            let mut state = self.of.lock();
            state.in_flight -= 1;
            state.items -= self.items;
            self.of.next(&mut state)
        };
        self.of.send(next);
    }
}

impl<S: Sends> std::fmt::Debug for Coalesce<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coalesce").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A batch that takes longer is waited for by nobody that comes after, as long as another may be in flight.
const SLOW: Duration = Duration::from_millis(20);
/// So many that wait are looked through for those that left.
const CROWD: usize = 1024;
