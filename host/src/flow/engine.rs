//! Runs flows.

use super::calls::Calls;
use super::forward::Progress;
use super::model::Flow;
use super::run::RunOutcome;
use super::set::FlowSet;
use super::trace::Spans;
use crate::error::CallFailure;
use crate::request::Context;
use chassis_abi::Code;
use serde_json::Value;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Runs flows over whoever plays their roles. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    flows: Arc<FlowSet>,
    calls: Arc<dyn Calls>,
    spans: Spans,
    runs: TaskTracker,
}

impl Engine {
    /// An engine for these flows.
    pub fn new(flows: FlowSet, calls: Arc<dyn Calls>, spans: Spans) -> Self {
        Self { flows: Arc::new(flows), calls, spans, runs: TaskTracker::new() }
    }

    /// The flows.
    pub fn flows(&self) -> &FlowSet {
        &self.flows
    }

    /// Runs a flow to its end: completed, or undone. Once begun, a run goes on when the caller is gone (the future is dropped): it
    /// would otherwise leave half of its work.
    ///
    /// # Errors
    /// `not_found` for an unknown flow, `invalid_argument` with the field for an input that does not fit. A run that began always has
    /// an outcome.
    pub async fn run(&self, name: &str, input: Value, context: Context) -> Result<RunOutcome, CallFailure> {
        let flow = self.flows.get(name)?.clone();
        let input = accept(&flow, &input)?;
        let progress = Progress::new(flow, self.calls.clone(), self.spans.clone(), input, context);
        self.runs.spawn(progress.run()).await.map_err(|error| {
            CallFailure::new(Code::Internal, format!("the run of flow `{name}` broke off: {error}"))
        })
    }

    /// Waits until no run is left. Further runs may begin meanwhile and are waited for too.
    pub async fn idle(&self) {
        self.runs.close();
        self.runs.wait().await;
        self.runs.reopen();
    }

    /// How many runs there are now.
    pub fn running(&self) -> usize {
        self.runs.len()
    }
}

fn accept(flow: &Flow, input: &Value) -> Result<Value, CallFailure> {
    flow.input.accept(input).map_err(|misfit| {
        let message = match misfit.field.as_str() {
            "" => format!("the input of flow `{}` {}", flow.name, misfit.message),
            field => format!("the input of flow `{}` does not fit: {field}: {}", flow.name, misfit.message),
        };
        let mut failure = CallFailure::new(Code::InvalidArgument, message);
        failure.error.field = Some(misfit.field).filter(|field| !field.is_empty());
        failure
    })
}
