//! `messaging.*`: brokers and queues.

use super::Telemetry;
use super::failure::ByCode;
use super::metrics::{Metrics, label};
use super::pointer::Pointer;
use super::propagation;
use super::recording::Recording;
use super::shape::{Common, Outcome, Target, items};
use super::span::SpanGuard;
use crate::error::CallFailure;
use ::metrics::{Counter, Histogram, Label};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanKind};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const DURATION: &str = "messaging_client_operation_duration_seconds";
const SENT: &str = "messaging_client_sent_messages_total";
const CONSUMED: &str = "messaging_client_consumed_messages_total";

/// An operation of a broker.
pub(super) struct Messaging {
    operation: Arc<str>,
    direction: Direction,
    target: Option<Target>,
    exchange: Pointer,
    output: Output,
    labels: Vec<Label>,
    ok: Histogram,
    failed: ByCode<Histogram>,
    messages: Counter,
    messages_failed: ByCode<Counter>,
}

/// The processing of one message. Ends when it is finished or dropped.
pub struct ProcessSpan {
    guard: SpanGuard,
    labels: Vec<Label>,
    metrics: Metrics,
    failed: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Send,
    Receive,
    Other,
}

/// Where an answer says what was sent or received (contract `queue`).
struct Output {
    sent_id: Pointer,
    received_id: Pointer,
    traceparent: Pointer,
    tracestate: Pointer,
    exchange: Pointer,
    routing_key: Pointer,
}

impl Messaging {
    pub fn new(metrics: &Metrics, common: Common<'_>, attributes: &mut Vec<KeyValue>) -> Self {
        let declared = common.declared;
        let mut labels = common.labels();
        if let Some(system) = &declared.system {
            common.text(("messaging.system", "messaging_system"), system, attributes, &mut labels);
        }
        let name = ("messaging.operation.name", "messaging_operation_name");
        common.text(name, &declared.operation, attributes, &mut labels);
        common.server(false, attributes, &mut labels);
        // The counters' convention has no type: it is in the name of the metric.
        let counted = labels.clone();
        if let Some(kind) = &declared.operation_type {
            let name = ("messaging.operation.type", "messaging_operation_type");
            common.text(name, kind, attributes, &mut labels);
        }
        let direction = match declared.operation_type.as_deref() {
            Some("send") => Direction::Send,
            Some("receive") => Direction::Receive,
            _ => Direction::Other,
        };
        Self {
            operation: declared.operation.as_str().into(),
            direction,
            target: common.target,
            exchange: Pointer::new("/exchange"),
            output: Output::new(),
            ok: metrics.histogram(DURATION, labels.clone()),
            failed: ByCode::new(),
            messages: match direction {
                Direction::Send => metrics.counter(SENT, counted),
                Direction::Receive => metrics.counter(CONSUMED, counted),
                Direction::Other => Counter::noop(),
            },
            messages_failed: ByCode::new(),
            labels,
        }
    }

    /// Names the span by operation and destination.
    pub fn describe(&self, recording: &mut Recording, input: &[u8]) -> Option<String> {
        let target = self.target.as_ref().and_then(|target| target.read(input));
        if self.is_batch() {
            recording
                .attributes
                .push(KeyValue::new("messaging.batch.message_count", items(input).len() as i64));
        }
        match &target {
            Some(queue) => {
                let exchange = self.exchange.text(input);
                self.name(recording, destination(&[exchange.as_deref().unwrap_or_default(), queue]));
            }
            None => recording.name = self.operation.clone().into(),
        }
        target
    }

    pub fn conclude(&self, recording: &mut Recording, outcome: Outcome<'_>) {
        let Outcome::Ok(output) = outcome else { return };
        let at = match self.direction {
            Direction::Send => &self.output.sent_id,
            Direction::Receive => &self.output.received_id,
            Direction::Other => return,
        };
        if let Some(id) = at.text(output) {
            recording.set(KeyValue::new("messaging.message.id", id.into_owned()));
        }
        if self.direction == Direction::Receive {
            self.received(recording, output);
        }
    }

    pub fn measure(&self, metrics: &Metrics, outcome: Outcome<'_>, elapsed: Duration) {
        match outcome {
            Outcome::Ok(output) => {
                self.ok.record(elapsed.as_secs_f64());
                self.count(metrics, output);
            }
            Outcome::Error(failure) => {
                let code = failure.code();
                let lazy = |code: &str| metrics.histogram(DURATION, self.with_error(code));
                self.failed.get(code, lazy).record(elapsed.as_secs_f64());
                if self.direction == Direction::Send {
                    self.messages_failed.get(code, |code| self.lost(metrics, code)).increment(1);
                }
            }
            Outcome::Refused(_) | Outcome::Cancelled => {}
        }
    }

    /// Messages of a stream came.
    pub fn delivered(&self, count: u64) {
        self.messages.increment(count);
    }

    fn count(&self, metrics: &Metrics, output: &[u8]) {
        match self.direction {
            Direction::Send if self.is_batch() => {
                let failed = Pointer::new("/error/code");
                for item in items(output) {
                    let code = failed.text(item.get().as_bytes());
                    let code = code.and_then(|code| {
                        chassis_abi::Code::ALL.iter().copied().find(|known| known.as_str() == code)
                    });
                    match code {
                        None => self.messages.increment(1),
                        Some(code) => {
                            self.messages_failed.get(code, |code| self.lost(metrics, code)).increment(1);
                        }
                    }
                }
            }
            Direction::Send => self.messages.increment(1),
            // A stream tells its messages one by one; `null` is no message.
            Direction::Receive if !output.is_empty() && self.output.routing_key.read(output).is_some() => {
                self.messages.increment(1);
            }
            Direction::Receive | Direction::Other => {}
        }
    }

    /// What a received message adds: the full name of where it came from, and a link to the span that sent it.
    fn received(&self, recording: &mut Recording, output: &[u8]) {
        let Some(parent) = self.output.routing_key.text(output) else { return };
        let mut said = recording.all_attributes();
        let name = said.find(|attribute| attribute.key.as_str() == "messaging.destination.name");
        let queue = name.map(|attribute| attribute.value.to_string()).unwrap_or_default();
        drop(said);
        let exchange = self.output.exchange.text(output);
        self.name(recording, destination(&[exchange.as_deref().unwrap_or_default(), &parent, &queue]));
        if let Some(parent) = self.output.traceparent.text(output) {
            let state = self.output.tracestate.text(output);
            recording.link(propagation::parse(&parent, state.as_deref()));
        }
    }

    fn name(&self, recording: &mut Recording, destination: String) {
        recording.name = format!("{} {destination}", self.operation).into();
        recording.set(KeyValue::new("messaging.destination.name", destination));
    }

    fn is_batch(&self) -> bool {
        self.target.as_ref().is_some_and(Target::in_items)
    }

    fn with_error(&self, code: &str) -> Vec<Label> {
        let mut labels = self.labels.clone();
        labels.push(label("error_type", code));
        labels
    }

    fn lost(&self, metrics: &Metrics, code: &str) -> Counter {
        let mut labels = self.with_error(code);
        labels.retain(|label| label.key() != "messaging_operation_type");
        metrics.counter(SENT, labels)
    }
}

impl Telemetry {
    /// The processing of a message that was consumed from `queue` of a broker of this kind (`system`: the manifest's). `message` is
    /// the contract's; the span links to the one that sent it.
    pub fn process_span(
        &self,
        system: &str,
        queue: &str,
        message: &Value,
        parent: &SpanContext,
    ) -> ProcessSpan {
        let text = |at: &str| message.pointer(at).and_then(Value::as_str).filter(|text| !text.is_empty());
        let destination = destination(&[
            text("/exchange").unwrap_or_default(),
            text("/routing_key").unwrap_or_default(),
            queue,
        ]);
        let mut attributes = vec![
            KeyValue::new("messaging.system", system.to_owned()),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
        ];
        attributes.extend(text("/message_id").map(|id| KeyValue::new("messaging.message.id", id.to_owned())));
        let name = format!("process {destination}");
        attributes.push(KeyValue::new("messaging.destination.name", destination));
        let mut guard = self.span(name, SpanKind::Consumer, parent, attributes);
        if let Some(creation) = text("/headers/traceparent") {
            guard.link(propagation::parse(creation, text("/headers/tracestate")));
        }
        let labels = vec![label("messaging_system", system), label("messaging_operation_name", "process")];
        ProcessSpan { guard, labels, metrics: self.metrics().clone(), failed: None }
    }
}

impl ProcessSpan {
    /// What is done with the message is below this.
    pub fn context(&self) -> &SpanContext {
        self.guard.context()
    }

    /// The processing is over.
    pub fn finish(mut self, result: Result<(), &CallFailure>) {
        if let Err(failure) = result {
            self.failed = Some(failure.code().as_str());
            self.guard.fail(failure.code().as_str(), failure.error.message.clone());
        }
    }
}

impl Drop for ProcessSpan {
    fn drop(&mut self) {
        let mut labels = std::mem::take(&mut self.labels);
        labels.extend(self.failed.map(|code| label("error_type", code)));
        let elapsed = self.guard.elapsed().as_secs_f64();
        self.metrics.histogram("messaging_process_duration_seconds", labels).record(elapsed);
    }
}

impl Output {
    fn new() -> Self {
        Self {
            sent_id: Pointer::new("/message_id"),
            received_id: Pointer::new("/message/message_id"),
            traceparent: Pointer::new("/message/headers/traceparent"),
            tracestate: Pointer::new("/message/headers/tracestate"),
            exchange: Pointer::new("/message/exchange"),
            routing_key: Pointer::new("/message/routing_key"),
        }
    }
}

/// `{exchange}:{routing key}:{queue}`: empty parts are left out, and a queue that is called like the key stands once.
fn destination(parts: &[&str]) -> String {
    let mut parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.dedup();
    if parts.is_empty() { "amq.default".to_owned() } else { parts.join(":") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_have_no_empty_parts() {
        assert_eq!(destination(&["", "welcome_messages"]), "welcome_messages");
        assert_eq!(destination(&["events", "user.created"]), "events:user.created");
        assert_eq!(destination(&["events", "user.created", "welcome"]), "events:user.created:welcome");
        assert_eq!(destination(&["", "welcome", "welcome"]), "welcome");
        assert_eq!(destination(&["", ""]), "amq.default");
    }
}
