//! So many events a second, counted in slots of a tenth of one. No lock, and no clock: the caller tells the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Lets so many events a second through.
#[derive(Debug)]
pub(super) struct Pace {
    begun: SystemTime,
    /// The number of the slot in the upper half, in the lower how many came in it.
    slot: AtomicU64,
    most: u32,
}

const SLOT: Duration = Duration::from_millis(100);

impl Pace {
    pub fn new(per_second: u32, begun: SystemTime) -> Self {
        Self { begun, slot: AtomicU64::new(0), most: (per_second / 10).max(1) }
    }

    /// Whether one more may go, at that moment. What tells an earlier slot than the one that there is, counts with that.
    pub fn admits(&self, at: SystemTime) -> bool {
        let now = (at.duration_since(self.begun).unwrap_or_default().as_millis() / SLOT.as_millis()) as u32;
        let seen = self.slot.load(Ordering::Relaxed);
        let (slot, count) = ((seen >> 32) as u32, seen as u32);
        if now > slot {
            let new = u64::from(now) << 32 | 1;
            // Who is second counts in the slot that is there now.
            if self.slot.compare_exchange(seen, new, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return true;
            }
        } else if count >= self.most {
            // Most of what comes under load ends here, with nothing written.
            return false;
        }
        (self.slot.fetch_add(1, Ordering::Relaxed) as u32) < self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn so_many_go_in_each_slot() {
        let pace = Pace::new(50, UNIX_EPOCH);
        let at = |ms: u64| UNIX_EPOCH + Duration::from_millis(ms);
        let admitted = |ms: u64| (0..20).filter(|_| pace.admits(at(ms))).count();
        assert_eq!(admitted(0), 5);
        assert_eq!(admitted(99), 0);
        assert_eq!(admitted(100), 5);
        assert_eq!(admitted(950), 5, "what was not used is not saved up");
        assert_eq!(admitted(50), 0, "a clock that lags opens no old slot");
    }

    #[test]
    fn many_threads_together_get_no_more() {
        let pace = Pace::new(1_000, UNIX_EPOCH);
        let at = UNIX_EPOCH + Duration::from_secs(7);
        let count = || (0..1_000).filter(|_| pace.admits(at)).count();
        let sum: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(sum, 100);
    }
}
