//! What flows call: whoever plays the roles.

use crate::error::CallFailure;
use crate::request::Context;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;

/// What may be done with an operation whose end nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nature {
    /// It only reads: it may be sent before it is known that the journal has it.
    pub reads: bool,
    /// It may be sent again with the same key, and takes effect once.
    pub repeatable: bool,
}

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

    /// What may be done with an operation whose end nobody knows: nothing, where nobody says so.
    fn nature(&self, _role: &str, _operation: &str) -> Nature {
        Nature::default()
    }

    /// What telemetry calls the backend behind an operation: `rabbitmq`.
    fn system(&self, role: &str, operation: &str) -> Option<String>;

    /// Which plugin plays each role, as expressions see it in `roles`.
    fn roles(&self) -> Arc<Value>;
}
