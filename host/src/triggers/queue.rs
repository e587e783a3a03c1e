//! Messages that start runs. A message is acknowledged when its run is durable, not before; the key of the run is made of the
//! message's id, so that one that comes twice starts one run.

use super::deliveries::Deliveries;
use super::settle::Broker;
use super::{Watch, pause};
use crate::error::CallFailure;
use crate::flow::depth;
use crate::flow::trigger::{CONSUME, Kind, Source};
use crate::flow::{RunState, Start, Started};
use crate::request::{Context, ItemStream, Request};
use chassis_abi::Code;
use opentelemetry::trace::SpanContext;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

/// Who lived so long had good days before, and is soon looked for again.
const GOOD: Duration = Duration::from_secs(10);

/// The consumer of a queue.
struct Consumer {
    watch: Watch,
    source: Source,
    broker: Broker,
    deliveries: Deliveries,
}

impl Watch {
    /// Starts a run for each message, until the end.
    pub(super) async fn messages(self) {
        let Kind::Queue(source) = &self.trigger().kind else { return };
        let source = source.clone();
        let broker = Broker::new(self.host.registry.clone(), &source);
        let consumer = Arc::new(Consumer { watch: self, source, broker, deliveries: Deliveries::default() });
        let Watch { flow, ending, .. } = &consumer.watch;
        let (flow, queue) = (&flow.name, &consumer.source.queue);
        let mut failures = 0;
        while !ending.is_cancelled() {
            let begun = tokio::time::Instant::now();
            let Err(failure) = consumer.clone().consume().await else { continue };
            failures = if begun.elapsed() > GOOD { 1 } else { failures + 1 };
            let wait = pause::after(failures);
            // Once when it begins; a dead broker is told of by its instance.
            if failures == 1 {
                tracing::warn!(flow, queue, %failure, "the queue cannot be consumed; it is tried again and again");
            }
            if !pause::wait(wait, ending).await {
                return;
            }
        }
    }
}

impl Consumer {
    /// Takes messages as long as they come.
    async fn consume(self: Arc<Self>) -> Result<(), CallFailure> {
        let mut messages = self.open().await?;
        // As many runs as messages: a full queue must not become a full host.
        let places = Arc::new(Semaphore::new(self.source.prefetch.into()));
        let taken = TaskTracker::new();
        let ending = self.watch.ending.clone();
        let taking = async {
            loop {
                let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
                let Some(message) = messages.next().await else { return Ok(()) };
                let message = message_of(message?.json());
                let settled = taken.token();
                tokio::spawn(self.clone().take(message, place, settled));
            }
        };
        let ended = ending.run_until_cancelled(taking).await.unwrap_or(Ok(()));
        // Whoever has started a run tells the broker so, before the stream's end gives back what is not settled.
        taken.close();
        taken.wait().await;
        ended
    }

    async fn open(&self) -> Result<ItemStream, CallFailure> {
        let Source { role, queue, prefetch, .. } = &self.source;
        let Some(instance) = self.watch.host.registry.role(role) else {
            return Err(CallFailure::new(Code::NotFound, format!("nobody plays the role `{role}`")));
        };
        let request = Request::of(&json!({ "queue": queue, "prefetch": prefetch }));
        let reply = instance.operation(CONSUME)?.call(request).await?;
        let none = || CallFailure::new(Code::Internal, format!("{role}.{CONSUME} answered with no stream"));
        Ok(reply.stream.ok_or_else(none)?.with_window((*prefetch).into()))
    }

    /// Starts the run of a message, settles the message, and keeps its place until the run is over.
    async fn take(
        self: Arc<Self>,
        message: Value,
        place: OwnedSemaphorePermit,
        settled: tokio_util::task::task_tracker::TaskTrackerToken,
    ) {
        let (system, queue) = (self.broker.system(), &self.source.queue);
        let span = self.watch.host.telemetry.process_span(system, queue, &message, &SpanContext::NONE);
        let tenant = message["headers"]["x-tenant"].as_str().filter(|tenant| !tenant.is_empty());
        let tenant = tenant.map(Arc::from);
        let context = Context { trace: span.context().clone(), tenant, ..Context::default() };
        let run = match self.start(&message, &context).await {
            Ok(run) => run,
            Err(failure) => {
                self.refuse(&message, &failure, &context).await;
                return span.finish(Err(&failure));
            }
        };
        // If this fails it comes again, and finds the run that it started.
        if let Err(failure) = self.broker.done(&message, &context).await {
            let (flow, run) = (&self.watch.flow.name, run.run_id());
            tracing::debug!(flow, run, %failure, "its message comes again");
        }
        self.deliveries.forget(&message);
        drop(settled);
        match run.outcome().await {
            Ok(outcome) if outcome.state == RunState::Completed => span.finish(Ok(())),
            Ok(outcome) => span.finish(match &outcome.error {
                Some(error) => Err(&error.failure),
                None => Ok(()),
            }),
            // This host ends before, and another goes on with the run.
            Err(_) => span.finish(Ok(())),
        }
        drop(place);
    }

    async fn start(&self, message: &Value, context: &Context) -> Result<Started, CallFailure> {
        let Watch { host, flow, .. } = &self.watch;
        let body = message["body"].clone();
        let input = self.watch.trigger().make_input("message", message, &self.watch.roles(), body)?;
        // An empty one names nothing.
        let id = message["message_id"].as_str().filter(|id| !id.is_empty());
        let key = id.map(|id| format!("message {id} of {}", self.source.queue).into());
        let start = Start { key, context: context.clone(), parent: None };
        host.engine.start(&flow.name, input, start).await
    }

    /// A message of which no run could be made goes back to its queue, and after so many times away.
    async fn refuse(&self, message: &Value, failure: &CallFailure, context: &Context) {
        let Watch { flow, ending, .. } = &self.watch;
        let (flow, queue) = (&flow.name, &self.source.queue);
        // A journal that cannot be written is no fault of the message.
        let count = if failure.error.retryable { 0 } else { self.deliveries.failed(message) };
        if count < self.source.max_deliveries {
            tracing::debug!(flow, queue, count, %failure, "a message starts no run, and goes back");
            let wait = if count == 0 { pause::after(5) } else { pause::after(count) };
            pause::wait(wait, ending).await;
            return self.broker.back(message, context).await;
        }
        let to = self.source.dead_letter.as_deref();
        let id = message["message_id"].as_str();
        match self.broker.bury(message, flow, failure, count, context).await {
            Ok(()) => {
                tracing::error!(flow, queue, id, to, count, %failure, "a message starts no run, and is put away");
                self.deliveries.forget(message);
            }
            Err(error) => {
                tracing::warn!(flow, queue, id, to, %error, "a message that starts no run cannot be put away yet");
                pause::wait(pause::after(count), ending).await;
                self.broker.back(message, context).await;
            }
        }
    }
}

/// A message of a stream. What is nested too deep for a flow is taken as text: the message must yet be put away, by its receipt which
/// stands beside that, and with what it said.
fn message_of(json: &[u8]) -> Value {
    let fields: Option<BTreeMap<String, &RawValue>> = serde_json::from_slice(json).ok();
    let field = |(name, raw): (String, &RawValue)| {
        let value = serde_json::from_str(raw.get()).ok();
        let value = value.filter(|value| !depth::is_deeper(value, depth::GIVEN));
        (name, value.unwrap_or_else(|| Value::from(raw.get())))
    };
    fields.map_or(Value::Null, |fields| fields.into_iter().map(field).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_nested_too_deep_keeps_its_receipt() {
        let body = format!("{}1{}", "[".repeat(127), "]".repeat(127));
        let message =
            message_of(format!(r#"{{"receipt":"7","body":{body},"headers":{{"a":"b"}}}}"#).as_bytes());
        assert_eq!(message["receipt"], "7");
        assert_eq!(message["headers"]["a"], "b");
        assert_eq!(message["body"], body);
        assert_eq!(message_of(br#"{"receipt":"8","body":[1]}"#)["body"], json!([1]));
        assert_eq!(message_of(b"nonsense"), Value::Null);
    }
}
