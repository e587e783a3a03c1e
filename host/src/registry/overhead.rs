//! What the host itself costs a call: `chassis_boundary_overhead_seconds`. Measured of one call in 64, so that the others pay for
//! nothing but a throw of the dice: of all polls of the call the time that they took, less what of it was spent in the plugin.
//! What a call waits for is no work, and not in it.

use crate::telemetry::metrics::Metrics;
use metrics::Histogram;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Measures calls of one instance.
pub(super) struct Overhead(Histogram);

/// A call that is measured.
pub(super) struct Sample {
    overhead: Histogram,
    /// Time spent in the plugin, in nanoseconds.
    plugin: Arc<AtomicU64>,
    /// Time spent on the call at all.
    spent: Duration,
}

pin_project! {
    /// A call under way, measured or not.
    pub(super) struct Measured<F> {
        #[pin]
        call: F,
        sample: Option<Box<Sample>>,
    }
}

/// One call in so many, as a power of two.
const RARITY: u32 = 6;
/// Stands in place of a time of the plugin's where the call was not a single one after all.
const SPOILT: u64 = 1 << 63;

impl Overhead {
    /// For an instance of this plugin.
    pub fn new(metrics: &Metrics, plugin: &str) -> Self {
        Self(metrics.boundary_overhead(plugin))
    }

    /// A call began `at` that moment; most are not measured.
    pub fn sample(&self, at: Instant) -> Option<Box<Sample>> {
        // By chance, not by count: a flow of four calls would else always have the same one measured.
        if fastrand::u32(..).trailing_zeros() < RARITY {
            return None;
        }
        Some(self.begin(at))
    }

    #[cold]
    fn begin(&self, at: Instant) -> Box<Sample> {
        let (overhead, plugin) = (self.0.clone(), Arc::default());
        Box::new(Sample { overhead, plugin, spent: at.elapsed() })
    }

    /// The call cannot be measured.
    pub fn spoil(clock: &AtomicU64) {
        clock.fetch_or(SPOILT, Ordering::Relaxed);
    }
}

impl Sample {
    /// Where the plugin's time is added up.
    pub fn clock(&self) -> &Arc<AtomicU64> {
        &self.plugin
    }

    fn record(&self) {
        let plugin = self.plugin.load(Ordering::Relaxed);
        // Nothing crossed the boundary in this task: it was refused, or went along with others.
        if plugin == 0 || plugin & SPOILT != 0 {
            return;
        }
        self.overhead.record(self.spent.saturating_sub(Duration::from_nanos(plugin)).as_secs_f64());
    }
}

impl<F> Measured<F> {
    pub fn new(call: F, sample: Option<Box<Sample>>) -> Self {
        Self { call, sample }
    }
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(sample) = this.sample else { return this.call.poll(cx) };
        let begun = Instant::now();
        let polled = this.call.poll(cx);
        sample.spent += begun.elapsed();
        if polled.is_ready() {
            sample.record();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    fn counted(metrics: &Metrics) -> u64 {
        let text = metrics.render();
        let line = text.lines().find(|line| line.starts_with("chassis_boundary_overhead_seconds_count"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap()
    }

    #[tokio::test]
    async fn one_call_in_sixty_four_is_measured_and_only_if_it_crossed_alone() {
        let metrics = Metrics::new();
        let overhead = Overhead::new(&metrics, "echo");
        assert_eq!(counted(&metrics), 0, "the series is there before the first call");
        fastrand::seed(7);
        let sampled = (0..64_000).filter(|_| overhead.sample(Instant::now()).is_some()).count();
        assert!((800..1_200).contains(&sampled), "{sampled} of 64,000");
        for (times, spoilt, recorded) in [(0, false, 0), (5, false, 1), (5, true, 1)] {
            let sample = overhead.begin(Instant::now());
            let clock = sample.clock().clone();
            let mut polls = 0;
            let call = poll_fn(|cx| {
                polls += 1;
                clock.fetch_add(times, Ordering::Relaxed);
                if spoilt {
                    Overhead::spoil(&clock);
                }
                cx.waker().wake_by_ref();
                if polls < 3 { Poll::Pending } else { Poll::Ready(polls) }
            });
            assert_eq!(Measured::new(call, Some(sample)).await, 3);
            assert_eq!(counted(&metrics), recorded);
        }
    }
}
