//! What the driver's errors mean.

use chassis_guest::{Code, Effect, Error};
use mongodb::error::{Error as DriverError, ErrorKind, WriteError, WriteFailure};

/// The error of an operation.
pub fn of(error: &DriverError, effect: Effect) -> Error {
    match error.kind.as_ref() {
        ErrorKind::ServerSelection { .. } => Error::unavailable("no MongoDB server answers").caused_by(error),
        ErrorKind::Authentication { .. } => {
            Error::new(Code::Unauthenticated, "mongodb refused the credentials").caused_by(error)
        }
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } | ErrorKind::DnsResolve { .. } => {
            let lost = Error::unavailable("the connection to mongodb was lost").caused_by(error);
            if effect == Effect::Write { lost.maybe_applied() } else { lost }
        }
        ErrorKind::Command(command) => refused(command.code, &command.message),
        ErrorKind::Write(WriteFailure::WriteError(write)) => write_error(write),
        ErrorKind::Write(failure) => Error::unavailable("mongodb could not confirm the write")
            .maybe_applied()
            .caused_by(&DriverError::from(ErrorKind::Write(failure.clone()))),
        ErrorKind::InvalidArgument { message, .. } => Error::new(Code::InvalidArgument, message),
        ErrorKind::BsonSerialization { .. } | ErrorKind::BsonDeserialization { .. } => {
            Error::internal("a document cannot be read or written").caused_by(error)
        }
        ErrorKind::Shutdown => Error::unavailable("the instance is closed"),
        _ => Error::internal("the mongodb driver failed").caused_by(error),
    }
}

/// A write that the server refused.
pub fn write_error(write: &WriteError) -> Error {
    refused(write.code, &write.message)
}

/// What the server's number means (MongoDB's `error_codes.yml`).
pub fn refused(number: i32, message: &str) -> Error {
    let code = match number {
        11000 | 11001 | 12582 => Code::AlreadyExists,
        18 => Code::Unauthenticated,
        13 => Code::PermissionDenied,
        2 | 9 | 14 | 52 | 53 | 56 | 57 | 66 | 121 => Code::InvalidArgument,
        26 | 27 => Code::NotFound,
        50 => Code::DeadlineExceeded,
        59 | 115 => Code::Unimplemented,
        85 | 86 => Code::FailedPrecondition,
        112 | 251 => Code::Aborted,
        6 | 7 | 89 | 91 | 189 | 262 | 10107 | 11600 | 11602 | 13435 | 13436 => Code::Unavailable,
        146 | 10334 => Code::ResourceExhausted,
        _ => Code::Internal,
    };
    Error::new(code, format!("mongodb refused it: {message}")).status(number.to_string())
}
