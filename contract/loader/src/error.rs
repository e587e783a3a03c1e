//! How a call failed.

use crate::ffi::{Defect, RawOutcome};
use chassis_abi::Code;
use chassis_abi::call::{FLAG_MAYBE_APPLIED, FLAG_RETRYABLE};
use chassis_abi::code::ErrorDocument;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// How a call failed. Its causes are a list, not a chain of [`Error::source`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// Canonical code.
    pub code: Code,
    /// The same call may succeed later.
    pub retryable: bool,
    /// The effect may have happened although the call failed.
    pub maybe_applied: bool,
    /// What happened, for a person; does not repeat its causes.
    pub message: String,
    /// What led to it, outermost first.
    pub causes: Vec<String>,
    /// The backend's own code.
    pub status: Option<String>,
    /// How long to wait before another try, where the backend said so.
    pub retry_after: Option<Duration>,
    /// The input field at fault, as a path.
    pub field: Option<String>,
}

impl CallError {
    /// An error that is not retryable and has certainly not been applied.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            retryable: false,
            maybe_applied: false,
            message: message.into(),
            causes: Vec::new(),
            status: None,
            retry_after: None,
            field: None,
        }
    }

    /// The backend, or the instance, is not there now: retryable.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new(Code::Unavailable, message) }
    }

    /// The plugin broke a rule of the boundary.
    #[cold]
    pub(crate) fn plugin_defect(what: &str) -> Self {
        Self::new(Code::Internal, format!("the plugin broke the boundary's rules: {what}"))
    }

    /// Reads a failed outcome. A plugin's error document may be anything; what cannot be read is told so.
    pub(crate) fn from_outcome(outcome: &RawOutcome) -> Self {
        let code = Code::from_number(outcome.code());
        let document = serde_json::from_slice(outcome.json()).unwrap_or_else(|_| unreadable(outcome));
        let ErrorDocument { message, causes, status, retry_after_ms, field } = document;
        Self {
            code,
            retryable: outcome.flags() & FLAG_RETRYABLE != 0,
            maybe_applied: outcome.flags() & FLAG_MAYBE_APPLIED != 0,
            message: if message.is_empty() { code.as_str().to_owned() } else { message },
            causes,
            status,
            retry_after: retry_after_ms.map(Duration::from_millis),
            field,
        }
    }
}

fn unreadable(outcome: &RawOutcome) -> ErrorDocument {
    const SHOWN: usize = 200;
    let bytes = outcome.json();
    let causes = if bytes.is_empty() {
        Vec::new()
    } else {
        vec![String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned()]
    };
    let message = format!("the plugin failed with code {} and no readable error document", outcome.code());
    ErrorDocument { message, causes, ..ErrorDocument::default() }
}

impl From<Defect> for CallError {
    fn from(defect: Defect) -> Self {
        match defect {
            Defect::NoPoll => Self::plugin_defect("a future or stream that cannot be polled"),
            Defect::Answer(answer) => Self::plugin_defect(&format!("a poll answered {answer}")),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Error for CallError {}
