//! SQLSTATE as canonical codes.

use chassis_guest::{Code, Error};
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

/// What a failure may have left behind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing: it only read, or its transaction was not committed.
    Harmless,
    /// A write: when the connection is lost, nobody knows whether it was done.
    Write,
}

/// The call's error for a driver's error.
pub(crate) fn from(error: sqlx::Error, sent: Sent) -> Error {
    match &error {
        sqlx::Error::Database(cause) => match cause.try_downcast_ref::<PgDatabaseError>() {
            Some(cause) => of_server(cause),
            None => Error::internal("the server failed").caused_by(&error),
        },
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
            let ours = Error::unavailable("the connection to the server failed").caused_by(&error);
            if sent == Sent::Write { ours.maybe_applied() } else { ours }
        }
        sqlx::Error::Tls(_) => Error::unavailable("no encrypted connection to the server").caused_by(&error),
        sqlx::Error::Encode(_) => Error::invalid("params", "the parameters cannot be sent").caused_by(&error),
        // What is said out of turn leaves the connection useless.
        sqlx::Error::Protocol(_) => {
            let ours = Error::unavailable("the server does not keep to the protocol").caused_by(&error);
            if sent == Sent::Write { ours.maybe_applied() } else { ours }
        }
        _ => Error::internal("the database driver failed").caused_by(&error),
    }
}

/// Whether the connection that this came from is of no more use.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(cause) => cause.code().is_some_and(|code| {
            code.starts_with("08") && code != "08P01"
                || matches!(&*code, "57P01" | "57P02" | "57P03" | "57P05")
        }),
        _ => true,
    }
}

/// Whether a prepared statement's plan is out of date, which the server says before it does anything.
pub(crate) fn is_stale(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|cause| cause.try_downcast_ref()).is_some_and(is_stale_plan)
}

fn is_stale_plan(cause: &PgDatabaseError) -> bool {
    cause.code() == "0A000" && cause.message().starts_with("cached plan")
}

/// Whether one item of a batch may be at fault, so that the others deserve another try.
pub(crate) fn is_of_an_item(error: &Error, status: Option<&str>) -> bool {
    let class = status.and_then(|status| status.get(..2)).unwrap_or_default();
    error.code() != Code::Unavailable && matches!(class, "21" | "22" | "23" | "P0" | "44")
}

fn of_server(cause: &PgDatabaseError) -> Error {
    let status = cause.code();
    let mut message = cause.message().to_owned();
    if let Some(PgErrorPosition::Original(at)) = cause.position() {
        message.push_str(&format!(" at character {at}"));
    }
    let code = if is_stale_plan(cause) { Code::Aborted } else { code(status) };
    let mut error = Error::new(code, message).status(status);
    for more in [cause.detail(), cause.hint()].into_iter().flatten() {
        error = error.caused_by(&More(more.to_owned()));
    }
    if status == "55P03" || status == "57P03" {
        error = error.retryable(true);
    }
    match field(cause) {
        Some(field) => error.field(field),
        None => error,
    }
}

fn code(status: &str) -> Code {
    match status {
        "23505" | "23P01" | "42P04" | "42P06" | "42P07" | "42710" | "42723" => Code::AlreadyExists,
        "23503" | "23001" => Code::FailedPrecondition,
        "40001" | "40P01" | "55P03" => Code::Aborted,
        "57014" => Code::Cancelled,
        "42501" => Code::PermissionDenied,
        "42P01" | "3D000" | "3F000" | "42704" | "42883" => Code::NotFound,
        "25006" => Code::FailedPrecondition,
        "0A000" => Code::Unimplemented,
        // The server did not understand what it was sent, as it has a NUL in it: no illness of the server's.
        "08P01" => Code::InvalidArgument,
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => Code::Unavailable,
        "P0002" => Code::NotFound,
        _ => match status.get(..2).unwrap_or_default() {
            "08" | "58" => Code::Unavailable,
            "21" | "22" | "23" | "42" | "44" | "26" | "34" => Code::InvalidArgument,
            "25" | "2B" | "2D" | "55" | "P0" | "27" | "09" | "38" | "39" => Code::FailedPrecondition,
            "28" => Code::Unauthenticated,
            "40" => Code::Aborted,
            "53" => Code::ResourceExhausted,
            "54" => Code::ResourceExhausted,
            "57" => Code::Unavailable,
            _ => Code::Internal,
        },
    }
}

/// The column where the server names it, those of the key where it tells them (`Key (email)=(a) already exists.`), otherwise the
/// constraint.
fn field(cause: &PgDatabaseError) -> Option<String> {
    let of_key = cause.detail().and_then(|detail| {
        detail.strip_prefix("Key (")?.split_once(")=").map(|(columns, _)| columns.to_owned())
    });
    cause
        .column()
        .map(str::to_owned)
        .or(of_key)
        .or_else(|| cause.constraint().map(str::to_owned))
        .or_else(|| cause.position().map(|_| "sql".to_owned()))
}

/// What the server adds to its message.
#[derive(Debug)]
struct More(String);

impl std::fmt::Display for More {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for More {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_their_codes() {
        for (status, expected) in [
            ("23505", Code::AlreadyExists),
            ("23502", Code::InvalidArgument),
            ("23514", Code::InvalidArgument),
            ("23503", Code::FailedPrecondition),
            ("40P01", Code::Aborted),
            ("53300", Code::ResourceExhausted),
            ("08006", Code::Unavailable),
            ("08P01", Code::InvalidArgument),
            ("28P01", Code::Unauthenticated),
            ("42P01", Code::NotFound),
            ("42601", Code::InvalidArgument),
            ("57014", Code::Cancelled),
            ("XX000", Code::Internal),
        ] {
            assert_eq!(code(status), expected, "{status}");
        }
    }
}
