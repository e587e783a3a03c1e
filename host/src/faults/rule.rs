//! A fault in force, and how it decides.

use super::spec::{FaultSpec, Frequency, Kind};
use chassis_abi::manifest::Operation;
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A fault in force.
#[derive(Debug)]
pub struct Rule {
    pub name: Arc<str>,
    pub spec: FaultSpec,
    seed: u64,
    seen: AtomicU64,
    hits: AtomicU64,
}

impl Rule {
    /// The chance of each rule is its own, so that a second one does not change what the first does.
    pub fn new(spec: FaultSpec, name: &str, seed: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        (seed, name).hash(&mut hasher);
        Self {
            name: name.into(),
            spec,
            seed: hasher.finish(),
            seen: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        }
    }

    /// Whether it is meant for calls of this operation.
    pub fn aims_at(&self, instance: &str, operation: &Operation) -> bool {
        let names = |wanted: &str| match wanted.rsplit_once('.') {
            Some((contract, name)) => {
                operation.name == name && operation.contract.as_deref() == Some(contract)
            }
            None => operation.name == wanted,
        };
        self.spec.kind != Kind::Crash
            && self.spec.instance.as_deref().is_none_or(|wanted| wanted == instance)
            && self.spec.operation.as_deref().is_none_or(names)
    }

    /// Whether it is meant for this point of the journal.
    pub fn crashes_at(&self, point: &str) -> bool {
        self.spec.kind == Kind::Crash && self.spec.at.as_deref().is_none_or(|at| point == at)
    }

    /// Counts a call that it is meant for, and says whether that one meets it.
    pub fn due(&self) -> bool {
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let due = match self.spec.frequency() {
            Frequency::Always => true,
            Frequency::Probability(chance) => self.chance(number) < chance,
            Frequency::First(count) => number <= count,
            Frequency::Every(count) => number.is_multiple_of(count),
            Frequency::Nth(wanted) => number == wanted,
        };
        if due {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        due
    }

    /// As it is shown: what it is, how many calls it saw and hit, and how many hits are left (`null`: no end).
    pub fn shown(&self) -> Value {
        let (seen, hits) = (self.seen.load(Ordering::Relaxed), self.hits.load(Ordering::Relaxed));
        let left = match self.spec.frequency() {
            Frequency::First(count) => Some(count.saturating_sub(seen)),
            Frequency::Nth(number) => Some(u64::from(seen < number)),
            Frequency::Always | Frequency::Probability(_) | Frequency::Every(_) => None,
        };
        let mut shown = json!(self.spec);
        shown["calls_seen"] = json!(seen);
        shown["hits"] = json!(hits);
        shown["hits_left"] = json!(left);
        shown
    }

    /// From 0 to 1, the same for the same seed and number: by SplitMix64, of which each value stands for itself.
    fn chance(&self, number: u64) -> f64 {
        let mut z = self.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
