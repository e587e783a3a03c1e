//! What is done with a message in the end, by the operations of the contract `queue`.

use crate::error::CallFailure;
use crate::flow::Calls;
use crate::flow::trigger::{CONSUME, Source};
use crate::registry::Registry;
use crate::request::Context;
use chassis_abi::Code;
use serde_json::{Value, json};
use std::sync::Arc;

/// Whoever brings the messages.
pub struct Broker {
    registry: Arc<Registry>,
    system: String,
    source: Source,
}

impl Broker {
    pub fn new(registry: Arc<Registry>, source: &Source) -> Self {
        let system = Calls::system(&*registry, &source.role, CONSUME);
        Self { registry, system: system.unwrap_or_default(), source: source.clone() }
    }

    /// What telemetry calls it.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// The message is done.
    pub async fn done(&self, message: &Value, context: &Context) -> Result<(), CallFailure> {
        self.call("queue.ack", &json!({ "receipt": message["receipt"] }), context).await
    }

    /// The message comes again. Where that cannot be said, it does when the stream ends.
    pub async fn back(&self, message: &Value, context: &Context) {
        let input = json!({ "receipt": message["receipt"], "requeue": true });
        if let Err(failure) = self.call("queue.nack", &input, context).await {
            tracing::debug!(queue = self.source.queue, %failure, "a message is given back by the end of its stream");
        }
    }

    /// The message is put into the dead-letter queue with the reason, and only then taken from its own. Without such a queue it is
    /// refused, and the broker does with it what the queue was declared for.
    pub async fn bury(
        &self,
        message: &Value,
        flow: &str,
        failure: &CallFailure,
        deliveries: u32,
        context: &Context,
    ) -> Result<(), CallFailure> {
        let Some(grave) = &self.source.dead_letter else {
            let input = json!({ "receipt": message["receipt"], "requeue": false });
            return self.call("queue.nack", &input, context).await;
        };
        let mut headers = message["headers"].clone();
        for (name, text) in [
            ("x-chassis-reason", failure.to_string()),
            ("x-chassis-flow", flow.to_owned()),
            ("x-chassis-queue", self.source.queue.clone()),
            ("x-chassis-deliveries", deliveries.to_string()),
        ] {
            headers[name] = text.into();
        }
        let mut dead = json!({ "queue": grave, "body": message["body"], "headers": headers });
        if let Some(id) = message["message_id"].as_str() {
            dead["message_id"] = id.into();
        }
        match self.call("queue.publish", &dead, context).await {
            // Nobody has made it yet.
            Err(failure) if failure.code() == Code::NotFound => {
                self.call("queue.declare", &json!({ "queue": grave }), context).await?;
                self.call("queue.publish", &dead, context).await?;
            }
            published => published?,
        }
        self.done(message, context).await
    }

    async fn call(&self, operation: &str, input: &Value, context: &Context) -> Result<(), CallFailure> {
        Calls::call(&*self.registry, &self.source.role, operation, input, context.clone()).await.map(drop)
    }
}
