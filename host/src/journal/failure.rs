//! A failure as the journal keeps it.

use crate::error::{CallError, CallFailure};
use chassis_abi::Code;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A failure that outlives the process which met it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    code: Code,
    message: String,
    #[serde(default, skip_serializing_if = "is_false")]
    retryable: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    maybe_applied: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_by: Option<String>,
}

/// Who refuses calls. A name that is not among them (of another build's policy) is not told again.
const REFUSERS: &[&str] =
    &["admission", "bulkhead", "deadline", "retry", "breaker", "attempt_timeout", "coalesce", "idempotency"];

impl From<&CallFailure> for FailureRecord {
    fn from(failure: &CallFailure) -> Self {
        let error = &failure.error;
        Self {
            code: error.code,
            message: error.message.clone(),
            retryable: error.retryable,
            maybe_applied: error.maybe_applied,
            causes: error.causes.clone(),
            status: error.status.clone(),
            retry_after_ms: error.retry_after.map(|wait| wait.as_millis() as u64),
            field: error.field.clone(),
            refused_by: failure.refused_by.map(str::to_owned),
        }
    }
}

impl From<FailureRecord> for CallFailure {
    fn from(record: FailureRecord) -> Self {
        let error = CallError {
            code: record.code,
            retryable: record.retryable,
            maybe_applied: record.maybe_applied,
            message: record.message,
            causes: record.causes,
            status: record.status,
            retry_after: record.retry_after_ms.map(Duration::from_millis),
            field: record.field,
        };
        let known = |name: &str| REFUSERS.iter().copied().find(|known| *known == name);
        let refused_by = record.refused_by.as_deref().and_then(known);
        Self { refused_by, ..Self::from(error) }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
