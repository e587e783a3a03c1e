//! Examples of a histogram's buckets: for each the last recorded span that fell into it, as OpenMetrics writes it.

use opentelemetry::trace::{SpanContext, SpanId, TraceId};
use std::fmt::Write;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// One example a bucket. There is no room for any until the first comes: most series never have one.
#[derive(Debug, Default)]
pub struct Exemplars(OnceLock<Box<[Mutex<Option<Exemplar>>]>>);

#[derive(Clone, Copy, Debug)]
struct Exemplar {
    trace: TraceId,
    span: SpanId,
    seconds: f64,
    at: SystemTime,
}

impl Exemplars {
    /// The example of a bucket, of so many. Nobody waits: where two come at the same time, or it is being read, the one there is does.
    pub fn set(&self, bucket: usize, of: usize, seconds: f64, context: &SpanContext) {
        let slots = self.0.get_or_init(|| (0..of).map(|_| Mutex::default()).collect());
        let Some(mut slot) = slots.get(bucket).and_then(|slot| slot.try_lock().ok()) else { return };
        let (trace, span) = (context.trace_id(), context.span_id());
        *slot = Some(Exemplar { trace, span, seconds, at: SystemTime::now() });
    }

    /// Adds the example of a bucket to its line, if there is one.
    pub fn render(&self, bucket: usize, text: &mut String) {
        let Some(slot) = self.0.get().and_then(|slots| slots.get(bucket)) else { return };
        let Some(Exemplar { trace, span, seconds, at }) =
            *slot.lock().unwrap_or_else(PoisonError::into_inner)
        else {
            return;
        };
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        // Writing to a string does not fail.
        let _ = write!(text, " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {seconds} {at:.3}");
    }
}
