//! What flows call: whoever plays the roles.

use crate::error::CallFailure;
use crate::request::Context;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

/// Calls operations by role. The registry is one; tests script another.
pub trait Calls: Send + Sync + 'static {
    /// Calls `operation` of the instance that plays `role`. The future is never dropped before it is done: an effect is not left
    /// half way.
    fn call<'a>(
        &'a self,
        role: &'a str,
        operation: &'a str,
        input: &Value,
        context: Context,
    ) -> BoxFuture<'a, Result<Value, CallFailure>>;

    /// What telemetry calls the backend behind an operation: `rabbitmq`.
    fn system(&self, role: &str, operation: &str) -> Option<String>;

    /// Which plugin plays each role, as expressions see it in `roles`.
    fn roles(&self) -> Map<String, Value>;
}
