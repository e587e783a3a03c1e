//! What a run is started with: whether its input fits, and by what it is known again.

use crate::error::CallFailure;
use crate::flow::depth;
use crate::flow::model::Flow;
use crate::flow::scope::Scope;
use chassis_abi::Code;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The input as the flow takes it, defaults filled in.
pub fn input(flow: &Flow, input: &Value) -> Result<Value, CallFailure> {
    if depth::is_deeper(input, depth::GIVEN) {
        let message =
            format!("the input of flow `{}` is nested deeper than {} levels", flow.name, depth::GIVEN);
        return Err(CallFailure::new(Code::InvalidArgument, message));
    }
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

/// The key that the flow says is made of its input; nobody's where that is `null`.
pub fn key(flow: &Flow, input: &Value) -> Result<Option<Arc<str>>, CallFailure> {
    let Some(key) = &flow.key else { return Ok(None) };
    match key.render(&Scope::default().with("input", input)) {
        Ok(Value::Null) => Ok(None),
        Ok(Value::String(key)) => Ok(Some(Arc::from(key))),
        Ok(key) => Ok(Some(Arc::from(key.to_string()))),
        Err(reason) => Err(super::forward::broken("idempotency.key", reason)),
    }
}

/// A hash of an input, the same however its fields are ordered.
pub fn body(input: &Value) -> String {
    fn feed(hash: &mut Sha256, value: &Value) {
        match value {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(name, _)| *name);
                hash.update("{");
                for (name, value) in fields {
                    hash.update(Value::from(name.as_str()).to_string());
                    hash.update(":");
                    feed(hash, value);
                    hash.update(",");
                }
                hash.update("}");
            }
            Value::Array(items) => {
                hash.update("[");
                for item in items {
                    feed(hash, item);
                    hash.update(",");
                }
                hash.update("]");
            }
            plain => hash.update(plain.to_string()),
        }
    }
    let mut hash = Sha256::new();
    feed(&mut hash, input);
    format!("{:x}", hash.finalize())
}
