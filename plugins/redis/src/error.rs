//! What the driver's errors mean.

use chassis_guest::{Code, Effect, Error};
use redis::{ErrorKind, ParsingError, RedisError};

/// The error of a command.
pub fn of(error: &RedisError, effect: Effect) -> Error {
    let Some(status) = error.code() else { return without_answer(error, effect) };
    let detail = error.detail().unwrap_or_default();
    let code = match status {
        "WRONGTYPE" | "MOVED" | "ASK" | "CROSSSLOT" => Code::FailedPrecondition,
        "ERR" if detail.contains("not an integer") => Code::FailedPrecondition,
        "ERR" if detail.contains("would overflow") => Code::OutOfRange,
        "NOAUTH" | "WRONGPASS" => Code::Unauthenticated,
        "NOPERM" => Code::PermissionDenied,
        "OOM" => Code::ResourceExhausted,
        "ERR" if detail.contains("max number of clients") => Code::ResourceExhausted,
        "LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" | "NOREPLICAS"
        | "MISCONF" => Code::Unavailable,
        "EXECABORT" => Code::Aborted,
        _ => Code::Internal,
    };
    Error::new(code, "redis refused the command").status(status).caused_by(error)
}

/// The error of an attempt to connect.
pub fn connecting(error: &RedisError) -> Error {
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            Error::new(Code::Unauthenticated, "redis refused the credentials").caused_by(error)
        }
        _ if error.code().is_some() => of(error, Effect::Read),
        _ => Error::unavailable("cannot connect to redis").caused_by(error),
    }
}

/// The answer is not what the command should have.
pub fn parse(error: &ParsingError) -> Error {
    Error::internal("redis gave an unexpected answer").caused_by(error)
}

/// The connection was lost before the answer came: a write may have been done.
fn without_answer(error: &RedisError, effect: Effect) -> Error {
    let lost = Error::unavailable("the connection to redis was lost").caused_by(error);
    if effect == Effect::Write { lost.maybe_applied() } else { lost }
}
