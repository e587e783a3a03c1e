//! What was delivered and is not settled yet.

use crate::link::Lease;
use chassis_guest::tokio::sync::oneshot;
use lapin::Acker;
use lapin::message::Delivery;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// All receipts of an instance. A receipt is `instance-group-tag`; a group is one consumption on one channel.
pub struct Receipts {
    instance: String,
    next: AtomicU64,
    groups: Mutex<HashMap<u64, Held>>,
}

#[derive(Default)]
struct Held {
    ackers: HashMap<u64, Acker>,
    single: Option<Single>,
}

/// What belongs to a group of one message.
pub struct Single {
    /// Its channel.
    pub lease: Lease,
    /// Closed when the message is settled.
    pub _settled: oneshot::Sender<()>,
}

/// A message to settle.
pub struct Unsettled {
    pub acker: Acker,
    pub single: Option<Single>,
}

impl Receipts {
    pub fn new() -> Arc<Self> {
        let instance = Uuid::new_v4().simple().to_string();
        Arc::new(Self { instance, next: AtomicU64::new(0), groups: Mutex::default() })
    }

    /// A group for a consumption.
    pub fn group(self: &Arc<Self>) -> Group {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.groups().insert(number, Held::default());
        Group { receipts: Arc::clone(self), number }
    }

    /// Holds one message with its channel.
    pub fn hold(&self, delivery: &Delivery, single: Single) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let ackers = [(delivery.delivery_tag, delivery.acker.clone())].into();
        self.groups().insert(number, Held { ackers, single: Some(single) });
        self.receipt(number, delivery)
    }

    /// The message of a receipt, which is then no longer known.
    pub fn take(&self, receipt: &str) -> Option<Unsettled> {
        let rest = receipt.strip_prefix(&self.instance)?.strip_prefix('-')?;
        let (number, tag) = rest.split_once('-')?;
        let (number, tag) = (number.parse().ok()?, tag.parse().ok()?);
        let mut groups = self.groups();
        let held = groups.get_mut(&number)?;
        let acker = held.ackers.remove(&tag)?;
        let single = held.single.take();
        if single.is_some() {
            groups.remove(&number);
        }
        Some(Unsettled { acker, single })
    }

    fn receipt(&self, group: u64, delivery: &Delivery) -> String {
        format!("{}-{group}-{}", self.instance, delivery.delivery_tag)
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<u64, Held>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages of a consumption. Dropped with it: what was not settled is then the broker's again.
pub struct Group {
    receipts: Arc<Receipts>,
    number: u64,
}

impl Group {
    /// Holds a message; answers its receipt.
    pub fn hold(&self, delivery: &Delivery) -> String {
        if let Some(held) = self.receipts.groups().get_mut(&self.number) {
            held.ackers.insert(delivery.delivery_tag, delivery.acker.clone());
        }
        self.receipts.receipt(self.number, delivery)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.receipts.groups().remove(&self.number);
    }
}
