//! The registry as flows see it.

use super::calls::{Calls, Nature};
use super::depth;
use crate::error::CallFailure;
use crate::registry::Registry;
use crate::request::{Context, Request};
use chassis_abi::Code;
use chassis_abi::manifest::Effect;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;

impl Calls for Registry {
    fn call<'a>(
        &'a self,
        role: &'a str,
        operation: &'a str,
        input: &Value,
        context: Context,
    ) -> BoxFuture<'a, Result<Value, CallFailure>> {
        let request = Request::of(input).with_context(context);
        Box::pin(async move {
            let Some(instance) = self.role(role) else {
                return Err(CallFailure::new(Code::NotFound, format!("nobody plays the role `{role}`")));
            };
            let reply = instance.operation(operation)?.call(request).await?;
            if reply.json().is_empty() {
                return Ok(Value::Null);
            }
            let wrong = |what: &str, cause: Option<String>| {
                let message = format!("{role}.{operation} answered with something that is {what}");
                let mut failure = CallFailure::new(Code::Internal, message);
                failure.error.causes.extend(cause);
                // It answered: whatever it does has been done.
                failure.error.maybe_applied = true;
                failure
            };
            let output = serde_json::from_slice(reply.json())
                .map_err(|error| wrong("not JSON", Some(error.to_string())))?;
            if depth::is_deeper(&output, depth::GIVEN) {
                return Err(wrong("nested too deep for a flow", None));
            }
            Ok(output)
        })
    }

    fn nature(&self, role: &str, operation: &str) -> Nature {
        let operation = self.role(role).and_then(|instance| instance.operation(operation).ok());
        operation.map_or_else(Nature::default, |operation| {
            let entry = operation.entry();
            let repeatable = entry.idempotent || entry.keyed;
            Nature { reads: repeatable && entry.effect == Effect::Read, repeatable }
        })
    }

    fn system(&self, role: &str, operation: &str) -> Option<String> {
        let operation = self.role(role)?.operation(operation).ok()?;
        operation.entry().telemetry.system.clone()
    }

    fn roles(&self) -> Arc<Value> {
        self.players().clone()
    }
}
