//! How much more than was asked may be sent: without such a limit, retries make three of each call just when a backend is down.

use super::window::Window;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Retries of an instance, as a share of its calls. Over a time T in which N calls were asked for, at most
/// `percent * N / 100 + floor * (T + 10 s)` are retried: a retry needs a share of a call that came before it and within 10 s.
#[derive(Debug)]
pub struct Budget {
    percent: u64,
    /// So many in any 10 s, however few calls there are.
    floor: u64,
    asked: Window,
    retried: Mutex<Window>,
}

const SPAN: Duration = Duration::from_secs(10);

impl Budget {
    /// Allows so many retries for each hundred calls, and at least so many a second.
    pub fn new(percent: u32, floor_per_second: u32, now: Instant) -> Self {
        Self {
            percent: u64::from(percent),
            floor: u64::from(floor_per_second) * SPAN.as_secs(),
            asked: Window::new(SPAN, now),
            retried: Mutex::new(Window::new(SPAN, now)),
        }
    }

    /// A call is asked for.
    pub fn asked(&self, now: Instant) {
        self.asked.add(self.asked.tick(now));
    }

    /// Takes one retry, if there is one left.
    pub fn take(&self, now: Instant) -> bool {
        let retried = self.retried.lock().unwrap_or_else(PoisonError::into_inner);
        let tick = retried.tick(now);
        let allowed = self.asked.sum(self.asked.tick(now)) * self.percent / 100 + self.floor;
        let left = retried.sum(tick) < allowed;
        if left {
            retried.add(tick);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The bound that its documentation states, over any traffic of which every call wants any number of retries.
        #[test]
        fn retries_keep_to_their_share(
            traffic in prop::collection::vec((0_u64..3_000, 1_u64..60, 0_u64..200), 1..300),
            percent in 0_u32..=100,
            floor in 0_u32..3,
        ) {
            let begun = Instant::now();
            let budget = Budget::new(percent, floor, begun);
            let mut now = begun;
            let (mut asked, mut retried) = (0, 0);
            for (wait, calls, wanted) in traffic {
                now += Duration::from_millis(wait);
                asked += calls;
                (0..calls).for_each(|_| budget.asked(now));
                retried += (0..wanted).filter(|_| budget.take(now)).count() as u64;
            }
            let seconds = now.duration_since(begun).as_secs_f64() + 10.0;
            let bound = f64::from(percent) * asked as f64 / 100.0 + f64::from(floor) * seconds;
            prop_assert!(retried as f64 <= bound, "{retried} retries of {asked} calls, not {bound}");
        }
    }

    #[test]
    fn a_quiet_instance_may_still_retry() {
        let now = Instant::now();
        let budget = Budget::new(20, 1, now);
        budget.asked(now);
        assert_eq!((0..100).filter(|_| budget.take(now)).count(), 10);
        assert!(budget.take(now + SPAN));
    }
}
