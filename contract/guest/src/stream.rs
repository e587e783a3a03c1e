//! Items that an operation sends, a granted number at a time.

use crate::Error;
use crate::ffi::{failure, success};
use chassis_abi::ChassisOutcome;
use serde::Serialize;
use std::collections::VecDeque;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Where an operation sends its items. The stream ends when the operation returns; when its consumer goes away, the operation is
/// dropped at the `await` it stands at.
pub struct Items<T> {
    queue: Queue,
    items: PhantomData<fn(T)>,
}

impl<T: Serialize> Items<T> {
    pub(crate) fn new() -> (Self, Queue) {
        let queue = Queue::default();
        (Self { queue: queue.clone(), items: PhantomData }, queue)
    }

    /// Sends an item, as soon as the consumer has granted one.
    ///
    /// # Errors
    /// `internal` when the item cannot be written as JSON.
    pub async fn send(&mut self, item: &T) -> Result<(), Error> {
        self.send_outcome(success(item, None)).await
    }

    /// Sends an item with a raw attachment, as soon as the consumer has granted one.
    ///
    /// # Errors
    /// As for [`Items::send`].
    pub async fn send_with_raw(&mut self, item: &T, raw: Vec<u8>) -> Result<(), Error> {
        self.send_outcome(success(item, Some(raw))).await
    }

    /// Waits until the consumer has granted an item: for who must not take one before it can be passed on.
    pub async fn ready(&mut self) {
        std::future::poll_fn(|context| self.queue.poll_credit(context)).await;
    }

    async fn send_outcome(&mut self, outcome: ChassisOutcome) -> Result<(), Error> {
        let mut item = Some(Item(outcome));
        std::future::poll_fn(|context| self.queue.poll_send(context, &mut item)).await;
        Ok(())
    }
}

/// An item on its way; freed if nobody fetches it.
struct Item(ChassisOutcome);

impl Item {
    fn into_outcome(self) -> ChassisOutcome {
        let mut item = std::mem::ManuallyDrop::new(self);
        std::mem::replace(&mut item.0, ChassisOutcome::EMPTY)
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.0, ChassisOutcome::EMPTY);
        crate::ffi::discard(outcome);
    }
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    credits: u64,
    sender: Option<Waker>,
}

/// What lies between an operation and its consumer.
#[derive(Clone, Default)]
pub(crate) struct Queue(Arc<Mutex<State>>);

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_credit(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.credits > 0 {
            return Poll::Ready(());
        }
        state.sender = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_send(&self, context: &mut Context<'_>, item: &mut Option<Item>) -> Poll<()> {
        std::task::ready!(self.poll_credit(context));
        let mut state = self.lock();
        state.credits -= 1;
        state.items.extend(item.take());
        Poll::Ready(())
    }

    fn grant(&self, credits: u32) {
        let sender = {
            let mut state = self.lock();
            state.credits = state.credits.saturating_add(u64::from(credits));
            state.sender.take()
        };
        if let Some(sender) = sender {
            sender.wake();
        }
    }
}

/// An operation that sends, and what it has sent.
pub(crate) struct Producer<F> {
    queue: Queue,
    operation: Option<F>,
}

impl<F: Future<Output = Result<(), Error>>> Producer<F> {
    /// The next item, `None` at the end. An error is the last item.
    pub(crate) fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ChassisOutcome>> {
        // SAFETY: the operation is pinned with the producer, and only ever set to None in place.
        let this = unsafe { self.get_unchecked_mut() };
        loop {
            if let Some(item) = this.queue.lock().items.pop_front() {
                return Poll::Ready(Some(item.into_outcome()));
            }
            let Some(operation) = &mut this.operation else { return Poll::Ready(None) };
            // SAFETY: as above.
            let ended = unsafe { Pin::new_unchecked(operation) }.poll(context);
            if let Poll::Ready(result) = ended {
                this.operation = None;
                if let Err(error) = result {
                    this.queue.lock().items.push_back(Item(failure(error)));
                }
            } else if this.queue.lock().items.is_empty() {
                return Poll::Pending;
            }
        }
    }
}

impl<F> Producer<F> {
    pub(crate) fn new(operation: F, queue: Queue) -> Self {
        Self { queue, operation: Some(operation) }
    }

    pub(crate) fn grant(&self, credits: u32) {
        self.queue.grant(credits);
    }
}
