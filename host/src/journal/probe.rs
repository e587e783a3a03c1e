//! A look at every write, for tests that end a host in the middle of one.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Nothing of it is written yet.
    BeforeCommit,
    /// It is durable, and nobody has been told.
    AfterCommit,
}

/// How a host goes on after a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As if nothing had been.
    Live,
    /// Not at all: the journal writes nothing more and answers nobody, as if the process had been killed here.
    Die,
}

/// Is told of every write.
pub trait Probe: Send + Sync + 'static {
    /// The `count`th write of this journal, from 1, is at `point`.
    fn at(&self, point: Point, count: u64) -> Fate;
}

/// The probe, if there is one.
#[derive(Default)]
pub(super) struct Observer {
    probe: OnceLock<Arc<dyn Probe>>,
    count: AtomicU64,
}

impl Point {
    /// Its name, in settings and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeCommit => "before_commit",
            Self::AfterCommit => "after_commit",
        }
    }
}

impl Observer {
    /// Sets the probe; false if there is one already.
    pub fn set(&self, probe: Arc<dyn Probe>) -> bool {
        self.probe.set(probe).is_ok()
    }

    pub fn before(&self) -> Fate {
        self.at(Point::BeforeCommit, 1)
    }

    pub fn after(&self) -> Fate {
        self.at(Point::AfterCommit, 0)
    }

    fn at(&self, point: Point, add: u64) -> Fate {
        match self.probe.get() {
            None => Fate::Live,
            Some(probe) => probe.at(point, self.count.fetch_add(add, Ordering::Relaxed) + add),
        }
    }
}
