//! One check at work: calls and flows below one span.

use super::Stage;
use crate::flow::RunOutcome;
use crate::request::Context;
use crate::telemetry::SpanGuard;
use chassis_abi::Code;
use opentelemetry::trace::{SpanContext, SpanKind};
use serde_json::Value;
use std::time::{Duration, Instant};

/// What a check does its work with.
pub struct Act<'a> {
    /// The stage.
    pub stage: &'a Stage,
    span: SpanGuard,
}

impl<'a> Act<'a> {
    /// Begins a trace.
    pub fn new(stage: &'a Stage, name: &str) -> Self {
        let span = stage.telemetry.span(format!("demo: {name}"), SpanKind::Internal, &SpanContext::NONE, []);
        Self { stage, span }
    }

    /// Ends the trace; answers its id.
    pub fn end(mut self, reason: Option<&String>) -> String {
        if let Some(reason) = reason {
            self.span.fail("check_failed", reason.clone());
        }
        self.trace_id()
    }

    /// The trace's id.
    pub fn trace_id(&self) -> String {
        self.span.context().trace_id().to_string()
    }

    /// A plain call of the plugin that plays a role.
    pub async fn call(&self, role: &str, operation: &str, input: Value) -> Result<Value, String> {
        self.try_call(role, operation, input).await.map_err(|(_, reason)| reason)
    }

    /// The same, with the failure's code.
    pub async fn try_call(&self, role: &str, operation: &str, input: Value) -> Result<Value, (Code, String)> {
        self.stage
            .calls
            .call(role, operation, &input, self.context())
            .await
            .map_err(|failure| (failure.code(), format!("{role}.{operation}: {failure}")))
    }

    /// A run of a flow, however it ended.
    pub async fn run(&self, flow: &str, input: Value) -> Result<RunOutcome, String> {
        let run = self.stage.engine.run(flow, input, self.context()).await;
        run.map_err(|failure| format!("flow {flow}: {failure}"))
    }

    /// A run of a flow that must complete.
    pub async fn flow(&self, flow: &str, input: Value) -> Result<RunOutcome, String> {
        let outcome = self.run(flow, input).await?;
        match &outcome.error {
            None => Ok(outcome),
            Some(error) => Err(format!(
                "flow {flow} is {}: step {}: {}",
                outcome.state.as_str(),
                error.step,
                error.failure
            )),
        }
    }

    /// Asks until the answer is there, as long as `patience` lasts.
    pub async fn wait_for<T>(
        &self,
        patience: Duration,
        what: &str,
        ask: impl AsyncFn() -> Result<Option<T>, String>,
    ) -> Result<T, String> {
        let started = Instant::now();
        loop {
            let last = match ask().await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => format!("waited {} s for {what}", patience.as_secs()),
                Err(reason) => format!("waited {} s for {what}: {reason}", patience.as_secs()),
            };
            if started.elapsed() >= patience {
                return Err(last);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn context(&self) -> Context {
        Context { trace: self.span.context().clone(), ..Context::default() }
    }
}
