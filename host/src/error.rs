//! Why a call failed: the plugin's error, or a refusal of the host's own.

use chassis_abi::Code;
pub use chassis_loader::CallError;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// A call that did not succeed. Boxed inside: the way of a good call should not carry the room for a bad one.
#[derive(Clone, Debug)]
pub struct CallFailure {
    /// What went wrong.
    pub error: Box<CallError>,
    /// The policy that refused the call before it was sent; none if the plugin or its server failed.
    pub refused_by: Option<&'static str>,
}

/// The form in which a failure is shown: by the edge, by `--json`, in a journal.
#[derive(Clone, Debug, Serialize)]
pub struct FailureDocument<'a> {
    /// Canonical code.
    pub code: &'static str,
    /// What happened, for a person.
    pub message: &'a str,
    /// The same call may succeed later.
    pub retryable: bool,
    /// The effect may have happened all the same.
    pub maybe_applied: bool,
    /// What led to it, outermost first.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub causes: &'a [String],
    /// The backend's own code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'a str>,
    /// How long to wait before another try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The input field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
    /// The policy that refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<&'static str>,
}

impl CallFailure {
    /// A failure that the host itself found.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::from(CallError::new(code, message))
    }

    /// A refusal: nothing was sent, and `policy` says why. May be tried again after so long.
    pub fn refused(
        policy: &'static str,
        code: Code,
        message: impl Into<String>,
        retry_after: Duration,
    ) -> Self {
        let retry_after = Some(retry_after);
        let error = CallError { retryable: true, retry_after, ..CallError::new(code, message) };
        Self { error: Box::new(error), refused_by: Some(policy) }
    }

    /// The canonical code.
    pub fn code(&self) -> Code {
        self.error.code
    }

    /// As it is shown.
    pub fn document(&self) -> FailureDocument<'_> {
        FailureDocument {
            code: self.error.code.as_str(),
            message: &self.error.message,
            retryable: self.error.retryable,
            maybe_applied: self.error.maybe_applied,
            causes: &self.error.causes,
            status: self.error.status.as_deref(),
            retry_after_ms: self.error.retry_after.map(|wait| wait.as_millis() as u64),
            field: self.error.field.as_deref(),
            refused_by: self.refused_by,
        }
    }
}

impl From<CallError> for CallFailure {
    fn from(error: CallError) -> Self {
        Self { error: Box::new(error), refused_by: None }
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error.code, self.error.message)
    }
}

impl std::error::Error for CallFailure {}
