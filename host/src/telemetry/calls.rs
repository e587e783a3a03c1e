//! What is counted of every call, whatever its kind.

use super::Telemetry;
use super::failure::ByCode;
use super::histogram::Buckets;
use super::metrics::label;
use super::shape::Outcome;
use crate::policy::REFUSING;
use ::metrics::{Counter, Label};
use opentelemetry::trace::SpanContext;
use std::sync::Arc;
use std::time::Duration;

/// `chassis_calls_total` and `chassis_call_duration_seconds`.
pub(super) struct Calls {
    labels: Vec<Label>,
    ok: Counter,
    cancelled: Counter,
    errors: ByCode<Counter>,
    refused: ByCode<Counter>,
    refused_by: [Counter; REFUSING.len()],
    duration: Arc<Buckets>,
}

impl Calls {
    pub fn new(telemetry: &Telemetry, plugin: &str, instance: &str, operation: &str) -> Self {
        let labels = vec![label("plugin", plugin), label("name", instance), label("operation", operation)];
        let metrics = telemetry.metrics();
        Self {
            ok: metrics.counter("chassis_calls_total", Self::with(&labels, "ok", "ok")),
            cancelled: metrics.counter("chassis_calls_total", Self::with(&labels, "cancelled", "cancelled")),
            errors: ByCode::new(),
            refused: ByCode::new(),
            refused_by: metrics.refused(instance),
            duration: metrics.buckets("chassis_call_duration_seconds", labels.clone()),
            labels,
        }
    }

    /// Counts a call, and of a recorded one leaves its trace as an example. Only what was sent has a duration: refusals would make a struggling backend look fast.
    pub fn measure(
        &self,
        telemetry: &Telemetry,
        outcome: Outcome<'_>,
        elapsed: Duration,
        context: &SpanContext,
    ) {
        let lazy = |outcome: &'static str, code: &str| {
            telemetry.metrics().counter("chassis_calls_total", Self::with(&self.labels, outcome, code))
        };
        match outcome {
            Outcome::Ok(_) => self.ok.increment(1),
            Outcome::Cancelled => return self.cancelled.increment(1),
            Outcome::Error(failure) => {
                self.errors.get(failure.code(), |code| lazy("error", code)).increment(1)
            }
            Outcome::Refused(failure) => {
                let by = REFUSING.iter().position(|policy| failure.refused_by == Some(policy));
                by.inspect(|by| self.refused_by[*by].increment(1));
                return self.refused.get(failure.code(), |code| lazy("refused", code)).increment(1);
            }
        }
        self.duration.record_of(elapsed.as_secs_f64(), context);
    }

    fn with(labels: &[Label], outcome: &'static str, code: &str) -> Vec<Label> {
        let mut labels = labels.to_vec();
        labels.extend([Label::from_static_parts("outcome", outcome), label("code", code)]);
        labels
    }
}
