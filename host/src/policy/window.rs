//! How many events there were in the last while, counted in slots of a tenth of it. No lock, and no clock: the caller tells the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Events of the last while. The slot of now is not full yet, so that it looks back over nine to ten tenths.
#[derive(Debug)]
pub(super) struct Window {
    begun: Instant,
    /// Width of a slot in nanoseconds.
    width: u64,
    /// In each the number of its tick, and below it the count.
    slots: [AtomicU64; SLOTS],
}

/// The number of a slot since the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u32);

const SLOTS: usize = 10;

impl Window {
    pub fn new(span: Duration, now: Instant) -> Self {
        let width = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX) / SLOTS as u64;
        Self { begun: now, width: width.max(1), slots: [const { AtomicU64::new(0) }; SLOTS] }
    }

    /// The slot that a moment falls into.
    pub fn tick(&self, now: Instant) -> Tick {
        let since = now.saturating_duration_since(self.begun);
        let nanos =
            since.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(since.subsec_nanos()));
        Tick(u32::try_from(nanos / self.width).unwrap_or(u32::MAX))
    }

    /// Counts one. What comes so late that its slot is used anew is not counted.
    pub fn add(&self, Tick(tick): Tick) {
        let slot = &self.slots[tick as usize % SLOTS];
        let mut old = slot.load(Ordering::Relaxed);
        loop {
            let (at, count) = parts(old);
            let new = match at.cmp(&tick) {
                std::cmp::Ordering::Equal => word(tick, count.saturating_add(1)),
                std::cmp::Ordering::Less => word(tick, 1),
                std::cmp::Ordering::Greater => return,
            };
            match slot.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    /// How many there were.
    pub fn sum(&self, Tick(tick): Tick) -> u64 {
        let oldest = tick.saturating_sub(SLOTS as u32 - 1);
        let counts = self.slots.iter().map(|slot| parts(slot.load(Ordering::Relaxed)));
        counts.filter(|(at, _)| (oldest..=tick).contains(at)).map(|(_, count)| u64::from(count)).sum()
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.slots.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
    }
}

fn parts(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

fn word(tick: u32, count: u32) -> u64 {
    u64::from(tick) << 32 | u64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_what_is_younger_than_its_span(waits in prop::collection::vec(0_u64..400, 1..200)) {
            let begun = Instant::now();
            let window = Window::new(Duration::from_secs(1), begun);
            let mut now = begun;
            let mut events = Vec::new();
            for wait in waits {
                now += Duration::from_millis(wait);
                let tick = window.tick(now);
                window.add(tick);
                events.push(tick.0);
                let young = events.iter().filter(|at| tick.0 - **at < 10).count();
                prop_assert_eq!(window.sum(tick), young as u64);
            }
            window.clear();
            prop_assert_eq!(window.sum(window.tick(now)), 0);
        }
    }

    #[test]
    fn what_is_late_is_counted_in_its_own_slot_or_not_at_all() {
        let begun = Instant::now();
        let window = Window::new(Duration::from_secs(10), begun);
        let at = |seconds| window.tick(begun + Duration::from_secs(seconds));
        window.add(at(9));
        window.add(at(3));
        assert_eq!(window.sum(at(9)), 2);
        window.add(at(13));
        window.add(at(3));
        assert_eq!(window.sum(at(13)), 2);
    }
}
