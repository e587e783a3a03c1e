//! Errors of a plugin.

use chassis_abi::Code;
use chassis_abi::code::ErrorDocument;
use std::fmt;
use std::time::Duration;

/// Why a call failed: a canonical code, a message for a person, and what the host must know to go on.
#[derive(Clone, Debug)]
pub struct Error {
    pub(crate) code: Code,
    pub(crate) retryable: bool,
    pub(crate) maybe_applied: bool,
    pub(crate) document: Box<ErrorDocument>,
}

impl Error {
    /// An error. `unavailable`, `aborted` and `resource_exhausted` are retryable unless said otherwise.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            retryable: matches!(code, Code::Unavailable | Code::Aborted | Code::ResourceExhausted),
            maybe_applied: false,
            document: Box::new(ErrorDocument { message: message.into(), ..ErrorDocument::default() }),
        }
    }

    /// The input (or the setting) `field` is wrong.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message).field(field)
    }

    /// The server cannot be reached or refuses to work now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message)
    }

    /// A defect.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// Adds what led to it: `cause` and its sources, outermost first. They must hold no secret.
    #[must_use]
    pub fn caused_by(mut self, cause: &dyn std::error::Error) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            let text = error.to_string();
            if self.document.causes.last() != Some(&text) {
                self.document.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Says whether the same call may succeed later.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// The effect may have happened although the call failed.
    #[must_use]
    pub fn maybe_applied(mut self) -> Self {
        self.maybe_applied = true;
        self
    }

    /// The backend's own code: an SQLSTATE, an HTTP status.
    #[must_use]
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.document.status = Some(status.into());
        self
    }

    /// The backend asks to wait so long.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.document.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// The input field at fault, as a path: `items[2].key`.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.document.field = Some(field.into());
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.document.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.document.message)
    }
}

impl std::error::Error for Error {}
