//! A simulated host: an engine over the world and the journal that all hosts share. It can die at a write of the journal, or wherever
//! its runs happen to be, and it can stand still for longer than its lease.

use super::world::World;
use chassis::error::CallFailure;
use chassis::flow::calls::Nature;
use chassis::flow::trace::Spans;
use chassis::flow::{Calls, Engine, FlowSet};
use chassis::journal::{Fate, Journal, MemoryStore, Point, Probe};
use chassis::request::Context;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How long a host is believed to live after it was last heard of.
pub const LEASE: Duration = Duration::from_secs(5);
/// Nothing is pruned within a schedule.
const KEEP: Duration = Duration::from_secs(86_400);

/// One life of a host.
pub struct SimHost {
    /// Runs its flows.
    pub engine: Engine,
    life: Arc<Life>,
}

/// Whether it lives, and how it is to die.
struct Life {
    dead: AtomicBool,
    /// The write at which it dies, and on which side; 0 for none.
    dies_at: AtomicU64,
    after: AtomicBool,
    still: watch::Sender<bool>,
}

/// The world, as one host sees it.
struct View {
    world: Arc<World>,
    life: Arc<Life>,
}

impl SimHost {
    /// Starts it, and has it take what nobody has.
    pub async fn start(name: &str, flows: &FlowSet, world: &Arc<World>, store: &MemoryStore) -> Self {
        let life = Arc::new(Life {
            dead: AtomicBool::new(false),
            dies_at: AtomicU64::new(0),
            after: AtomicBool::new(false),
            still: watch::Sender::new(false),
        });
        let journal = Journal::over(
            Arc::new(super::still::Store::new(store.clone(), life.still.subscribe())),
            name,
            LEASE,
        );
        journal.observe(Arc::new(Dying(life.clone())));
        let calls: Arc<dyn Calls> = Arc::new(View { world: world.clone(), life: life.clone() });
        let engine = Engine::with_journal(flows.clone(), calls, Spans::default(), journal);
        // A journal in memory does not fail.
        let _ = engine.recover().await;
        engine.keep_up(KEEP);
        Self { engine, life }
    }

    /// It dies here and now, wherever its runs are.
    pub fn kill(&self) {
        self.life.dead.store(true, Ordering::Relaxed);
        self.life.still.send_replace(false);
        self.engine.abandon();
    }

    /// It will die at a write of its journal, the `nth` from now.
    pub fn kill_at(&self, nth: u64, after: bool) {
        self.life.after.store(after, Ordering::Relaxed);
        self.life.dies_at.store(nth, Ordering::Relaxed);
    }

    /// Whether it has died at a write meanwhile.
    pub fn is_dead(&self) -> bool {
        self.life.dead.load(Ordering::Relaxed)
    }

    /// It stands still: what it asked for is answered when it goes on.
    pub fn stand_still(&self, still: bool) {
        self.life.still.send_replace(still);
    }
}

/// Says at which write the host dies.
struct Dying(Arc<Life>);

impl Probe for Dying {
    fn at(&self, point: Point, _: u64) -> Fate {
        let Life { dead, dies_at, after, .. } = &*self.0;
        if dead.load(Ordering::Relaxed) {
            return Fate::Die;
        }
        let left = dies_at.load(Ordering::Relaxed);
        let here = (point == Point::AfterCommit) == after.load(Ordering::Relaxed);
        match left {
            0 => Fate::Live,
            1 if here => {
                dead.store(true, Ordering::Relaxed);
                Fate::Die
            }
            _ => {
                if here {
                    dies_at.store(left - 1, Ordering::Relaxed);
                }
                Fate::Live
            }
        }
    }
}

impl Calls for View {
    fn call<'a>(
        &'a self,
        role: &'a str,
        operation: &'a str,
        input: &Value,
        context: Context,
    ) -> BoxFuture<'a, Result<Value, CallFailure>> {
        let input = input.clone();
        Box::pin(async move {
            if self.life.dead.load(Ordering::Relaxed) {
                // Its tasks may still be polled once before they are dropped: a dead host sends nothing.
                std::future::pending::<()>().await;
            }
            let answer = self.world.call(role, operation, input, context.idempotency_key).await;
            moving(&mut self.life.still.subscribe()).await;
            answer
        })
    }

    fn nature(&self, role: &str, operation: &str) -> Nature {
        self.world.nature(role, operation)
    }

    fn system(&self, _: &str, _: &str) -> Option<String> {
        None
    }

    fn roles(&self) -> Arc<Value> {
        Arc::new(json!({ "users": "embedded" }))
    }
}

/// Waits while a host stands still.
pub async fn moving(still: &mut watch::Receiver<bool>) {
    // The host is gone: whoever waits is, too.
    let _ = still.wait_for(|still| !still).await;
}
