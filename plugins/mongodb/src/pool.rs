//! How full the driver's pool is, as its events tell.

use crate::turn;
use chassis_guest::Pool;
use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Counts connections. Cheap to clone.
#[derive(Clone, Default)]
pub struct PoolCounter(Arc<Counts>);

#[derive(Default)]
struct Counts {
    open: AtomicI64,
    used: AtomicI64,
    pending: AtomicI64,
}

impl PoolCounter {
    /// What the driver is to tell its events.
    pub fn handler(&self) -> EventHandler<CmapEvent> {
        let counts = Arc::clone(&self.0);
        EventHandler::callback(move |event| {
            let add = |count: &AtomicI64, by| {
                count.fetch_add(by, Ordering::Relaxed);
            };
            match event {
                CmapEvent::ConnectionCreated(_) => add(&counts.open, 1),
                CmapEvent::ConnectionClosed(_) => add(&counts.open, -1),
                CmapEvent::ConnectionCheckoutStarted(_) => {
                    turn::waits(true);
                    add(&counts.pending, 1);
                }
                CmapEvent::ConnectionCheckoutFailed(_) => {
                    turn::waits(false);
                    add(&counts.pending, -1);
                }
                CmapEvent::ConnectionCheckedOut(_) => {
                    turn::waits(false);
                    add(&counts.pending, -1);
                    add(&counts.used, 1);
                }
                CmapEvent::ConnectionCheckedIn(_) => add(&counts.used, -1),
                _ => {}
            }
        })
    }

    /// The numbers now.
    pub fn now(&self, max: u32) -> Pool {
        let read = |count: &AtomicI64| u32::try_from(count.load(Ordering::Relaxed)).unwrap_or(0);
        let used = read(&self.0.used);
        let idle = read(&self.0.open).saturating_sub(used);
        Pool { used, idle, max, pending: Some(read(&self.0.pending)) }
    }
}
