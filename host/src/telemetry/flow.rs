//! The metrics of flows. Their handles are made when a flow is known, so that a run looks none up.

use super::Telemetry;
use super::failure::ByCode;
use super::histogram::Buckets;
use super::metrics::{Metrics, label};
use ::metrics::{Counter, Gauge, Histogram, Label};
use chassis_abi::Code;
use opentelemetry::trace::SpanContext;
use std::sync::Arc;
use std::time::Duration;

/// The metrics of one flow. Cheap to clone.
#[derive(Clone)]
pub struct FlowTelemetry(Arc<Handles>);

struct Handles {
    flow: String,
    metrics: Metrics,
    ended: [(&'static str, Counter); ENDS.len()],
    /// With the code of what sent the run back: whose fault it was.
    undone: Arc<ByCode<Counter>>,
    duration: Arc<Buckets>,
    stuck: Gauge,
    active: Gauge,
    steps: Vec<Step>,
}

#[derive(Clone)]
struct Step {
    name: String,
    duration: Histogram,
    undo_failures: Option<Counter>,
}

/// A run under way; counted as long as this is there.
pub struct Active(Gauge);

/// The engine's words for a run that is over.
const ENDS: [&str; 4] = ["completed", "undone", "cancelled", "stuck"];

impl Telemetry {
    /// Registers the metrics of a flow and of its steps; each is told whether there is something to undo.
    pub fn flow<'a>(&self, flow: &str, steps: impl Iterator<Item = (&'a str, bool)>) -> FlowTelemetry {
        let metrics = self.metrics();
        let of = || vec![label("flow", flow)];
        let ended = ENDS.map(|outcome| {
            let labels = vec![label("flow", flow), Label::from_static_parts("outcome", outcome)];
            (outcome, metrics.counter("chassis_flow_runs_total", labels))
        });
        FlowTelemetry(Arc::new(Handles {
            flow: flow.to_owned(),
            metrics: metrics.clone(),
            ended,
            undone: Arc::new(ByCode::new()),
            duration: metrics.buckets("chassis_flow_duration_seconds", of()),
            stuck: metrics.gauge("chassis_flow_stuck", of()),
            active: metrics.gauge("chassis_flow_active", of()),
            steps: steps.map(|(step, undone)| Step::new(metrics, flow, step, undone)).collect(),
        }))
    }
}

impl FlowTelemetry {
    /// The same with the steps that only an earlier version had: its runs may go on.
    pub fn with_steps_of(&self, earlier: &Self) -> Self {
        let gone = earlier.0.steps.iter().filter(|step| self.step(&step.name).is_none()).cloned();
        let steps = self.0.steps.iter().cloned().chain(gone).collect();
        let Handles { flow, metrics, ended, undone, duration, stuck, active, .. } = &*self.0;
        let (flow, metrics, ended, undone) = (flow.clone(), metrics.clone(), ended.clone(), undone.clone());
        let (duration, stuck, active) = (duration.clone(), stuck.clone(), active.clone());
        Self(Arc::new(Handles { flow, metrics, ended, undone, duration, stuck, active, steps }))
    }

    /// A run of it is under way here.
    pub fn active(&self) -> Active {
        self.0.active.increment(1.0);
        Active(self.0.active.clone())
    }

    /// A run is over, whose span this is. `outcome` is one of the engine's own words, `code` that of what sent it back.
    pub fn finished(
        &self,
        outcome: &'static str,
        code: Option<Code>,
        elapsed: Duration,
        context: &SpanContext,
    ) {
        let handles = &*self.0;
        match code.filter(|_| outcome == "undone") {
            Some(code) => {
                let made = |code| {
                    let outcome = Label::from_static_parts("outcome", "undone");
                    let labels = vec![label("flow", &handles.flow), outcome, label("code", code)];
                    handles.metrics.counter("chassis_flow_runs_total", labels)
                };
                handles.undone.get(code, made).increment(1);
            }
            None => {
                let known = handles.ended.iter().find(|(known, _)| *known == outcome);
                known.inspect(|(_, count)| count.increment(1));
            }
        }
        handles.duration.record_of(elapsed.as_secs_f64(), context);
    }

    /// A step's work, or that of one of its items, is over.
    pub fn step_ended(&self, step: &str, elapsed: Duration) {
        if let Some(step) = self.step(step) {
            step.duration.record(elapsed.as_secs_f64());
        }
    }

    /// A try of a step's undo failed.
    pub fn undo_failed(&self, step: &str) {
        if let Some(count) = self.step(step).and_then(|step| step.undo_failures.as_ref()) {
            count.increment(1);
        }
    }

    /// How many runs of it are stuck.
    pub fn stuck(&self, count: i64) {
        self.0.stuck.set(count as f64);
    }

    fn step(&self, name: &str) -> Option<&Step> {
        self.0.steps.iter().find(|step| step.name == name)
    }
}

impl Step {
    fn new(metrics: &Metrics, flow: &str, name: &str, undone: bool) -> Self {
        let labels = || vec![label("flow", flow), label("step", name)];
        Self {
            name: name.to_owned(),
            duration: metrics.histogram("chassis_flow_step_duration_seconds", labels()),
            undo_failures: undone.then(|| metrics.counter("chassis_flow_undo_failures_total", labels())),
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
