//! Dropped calls and the driver's queue for connections.
//!
//! The driver (mongodb 3.9, `cmap/worker.rs`) serves one waiter an event. A waiter that has gone uses its turn up, so that after a
//! burst of dropped calls the living wait for ever. So no call leaves the queue before its turn: a dropped one is left there, and
//! ends the moment it gets its connection, before anything is sent.

use chassis_guest::{Context, Error, tokio};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

tokio::task_local! {
    static TURN: Arc<Turn>;
}

#[derive(Default)]
struct Turn {
    waiting: AtomicBool,
    abandoned: AtomicBool,
    changed: Notify,
}

impl Turn {
    async fn to_leave(&self) {
        while !self.abandoned.load(Ordering::Acquire) || self.waiting.load(Ordering::Acquire) {
            self.changed.notified().await;
        }
    }
}

/// The running call waits for a connection, or has one now. Told by the driver's events, in the call's own task.
pub fn waits(waiting: bool) {
    // Connections that no call asked for have no turn.
    let _ = TURN.try_with(|turn| {
        turn.waiting.store(waiting, Ordering::Release);
        turn.changed.notify_one();
    });
}

/// Runs work of a call, on the instance's thread. When the call is dropped the work is too, at the latest when it has a connection.
pub async fn run<T: Send + 'static>(
    context: &Context,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let turn = Arc::new(Turn::default());
    let mine = Arc::clone(&turn);
    let task = context.spawn(TURN.scope(Arc::clone(&turn), async move {
        tokio::select! {
            biased;
            () = mine.to_leave() => Err(Error::internal("the call was dropped")),
            result = work => result,
        }
    }));
    let _abandon = Abandon(turn);
    task.await.unwrap_or_else(|error| Err(Error::internal("the call's task failed").caused_by(&error)))
}

struct Abandon(Arc<Turn>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandoned.store(true, Ordering::Release);
        self.0.changed.notify_one();
    }
}
