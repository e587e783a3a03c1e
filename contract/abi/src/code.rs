//! Canonical error codes, and the document that carries an error over the boundary.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $http:literal;)*) => {
        /// Why a call failed. Names and meanings are gRPC's (google.rpc.Code), numbers too.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// The name used in JSON, metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The HTTP status of a problem document (google.rpc.Code's mapping).
            pub const fn http_status(self) -> u16 {
                match self { $(Code::$variant => $http,)* }
            }

            /// The code of a number from the boundary; one that is not known is [`Code::Unknown`].
            pub const fn from_number(number: u32) -> Code {
                match number { $($number => Code::$variant,)* _ => Code::Unknown }
            }
        }
    };
}

codes! {
    /// The caller gave the call up.
    Cancelled = 1, "cancelled", 499;
    /// Not to be told.
    Unknown = 2, "unknown", 500;
    /// The input is wrong, whatever the state of the backend.
    InvalidArgument = 3, "invalid_argument", 400;
    /// The deadline passed.
    DeadlineExceeded = 4, "deadline_exceeded", 504;
    /// What was asked for is not there.
    NotFound = 5, "not_found", 404;
    /// What was to be made is there already.
    AlreadyExists = 6, "already_exists", 409;
    /// The credentials are known and do not suffice.
    PermissionDenied = 7, "permission_denied", 403;
    /// A limit, quota or pool is used up.
    ResourceExhausted = 8, "resource_exhausted", 429;
    /// The backend is not in the state that the call needs.
    FailedPrecondition = 9, "failed_precondition", 400;
    /// Given up for a conflict with another call; may be tried again from the start.
    Aborted = 10, "aborted", 409;
    /// Past the end.
    OutOfRange = 11, "out_of_range", 400;
    /// There is no such operation.
    Unimplemented = 12, "unimplemented", 501;
    /// A defect: of the plugin, the host or the backend.
    Internal = 13, "internal", 500;
    /// The backend cannot be reached or refuses to work now.
    Unavailable = 14, "unavailable", 503;
    /// Data is lost or unreadable.
    DataLoss = 15, "data_loss", 500;
    /// The credentials are missing or wrong.
    Unauthenticated = 16, "unauthenticated", 401;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What `json` of a failed outcome holds. Code and flags stand beside it in the outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDocument {
    /// What happened, for a person; does not repeat its causes.
    pub message: String,
    /// What led to it, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The backend's own code: an SQLSTATE, an HTTP status, an AMQP reply code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How long to wait before another try, in milliseconds, where the backend said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The input field at fault, as a path (`items[2].key`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}
