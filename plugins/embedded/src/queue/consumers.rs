//! Who consumes: each holds its messages for a short while, which a task extends for as long as the consumer is there.

use super::messages::{check_queue, claim, released};
use crate::cache::now;
use crate::ops::Part;
use crate::store::Store;
use chassis_guest::contracts::queue::Message;
use chassis_guest::tokio::sync::watch;
use chassis_guest::tokio::task::JoinHandle;
use chassis_guest::tokio::time::sleep;
use chassis_guest::{Context, Error};
use sqlx::Row;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// A consumer's hold on its messages. When its process dies they are delivered again after so long.
const HOLD: Duration = Duration::from_secs(10);

/// The consumers of an instance, and the bell that tells them of news.
pub(crate) struct Consumers {
    store: Arc<Store>,
    context: Context,
    bell: watch::Sender<u64>,
    joined: Mutex<HashMap<String, String>>,
}

/// A consumer. When it is dropped, what it has not settled goes back.
pub(super) struct Consumer {
    consumers: Arc<Consumers>,
    queue: String,
    prefetch: i64,
    owner: String,
    extends: JoinHandle<()>,
}

impl Consumers {
    pub(crate) fn new(store: Arc<Store>, context: Context) -> Self {
        Self { store, context, bell: watch::Sender::new(0), joined: Mutex::default() }
    }

    /// Something is there to take, or there is room to take more.
    pub(crate) fn wake(&self) {
        self.bell.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    pub(super) fn count(&self, queue: &str) -> u64 {
        self.joined().values().filter(|joined| *joined == queue).count() as u64
    }

    pub(super) fn join(self: &Arc<Self>, queue: &str, prefetch: u16) -> Consumer {
        let owner = Uuid::new_v4().to_string();
        self.joined().insert(owner.clone(), queue.to_owned());
        let (store, held) = (self.store.clone(), owner.clone());
        let extends = self.context.spawn(async move {
            loop {
                sleep(HOLD / 3).await;
                // One that fails is made up for by the next.
                let _ = extend(&store, &held).await;
            }
        });
        let (consumers, queue) = (self.clone(), queue.to_owned());
        Consumer { consumers, queue, prefetch: prefetch.into(), owner, extends }
    }

    /// Gives back what is still held.
    pub(crate) async fn close(&self) {
        let owners: Vec<String> = self.joined().keys().cloned().collect();
        for owner in owners {
            // What fails here is delivered again when the hold is over.
            let _ = give_back(&self.store, &owner).await;
        }
    }

    fn joined(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Consumer {
    /// The next message, if there is one and room for it.
    ///
    /// It is fetched by a task: the stream itself is polled only when somebody waits for its next item, and must not keep the
    /// connection that writes from the others meanwhile.
    pub(super) async fn next(&self) -> Result<Option<Message>, Error> {
        let store = self.consumers.store.clone();
        let (queue, owner, prefetch) = (self.queue.clone(), self.owner.clone(), self.prefetch);
        let fetched = self.consumers.context.spawn(async move {
            let mut db = store.write(Part::Queue).await?;
            check_queue(&mut db, &queue).await?;
            let held = "SELECT count(*) FROM chassis_messages WHERE owner = ? AND visible_ms > ?";
            let held = db.first(sqlx::query(held).bind(&owner).bind(now())).await?;
            if held.is_some_and(|row| row.get::<i64, _>(0) >= prefetch) {
                return Ok(None);
            }
            claim(&mut db, &queue, until(), Some(&owner)).await
        });
        fetched.await.unwrap_or_else(|_| Err(Error::unavailable("the instance is closed")))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.extends.abort();
        let (consumers, owner) = (self.consumers.clone(), std::mem::take(&mut self.owner));
        self.consumers.context.spawn(async move {
            // What fails here is delivered again when the hold is over.
            let _ = give_back(&consumers.store, &owner).await;
            consumers.joined().remove(&owner);
            consumers.wake();
        });
    }
}

async fn extend(store: &Store, owner: &str) -> Result<(), Error> {
    let update = "UPDATE chassis_messages SET visible_ms = ? WHERE owner = ? AND visible_ms > ?";
    let mut db = store.write(Part::Queue).await?;
    db.done(sqlx::query(update).bind(until()).bind(owner).bind(now())).await.map(drop)
}

async fn give_back(store: &Store, owner: &str) -> Result<(), Error> {
    released(&mut store.write(Part::Queue).await?, "owner", owner).await.map(drop)
}

fn until() -> i64 {
    now().saturating_add(i64::try_from(HOLD.as_millis()).unwrap_or(i64::MAX))
}
