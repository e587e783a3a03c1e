//! What the driver's errors mean.

use chassis_guest::{Code, Error};
use lapin::ErrorKind;

/// The error of an operation that changes nothing, or that was not sent.
pub fn of(error: &lapin::Error) -> Error {
    match error.kind() {
        ErrorKind::ProtocolError(said) => {
            let code = match said.get_id() {
                311 | 501 | 502 => Code::InvalidArgument,
                312 | 402 | 404 => Code::NotFound,
                320 => Code::Unavailable,
                403 | 530 => Code::PermissionDenied,
                405 | 406 => Code::FailedPrecondition,
                506 => Code::ResourceExhausted,
                540 => Code::Unimplemented,
                _ => Code::Internal,
            };
            Error::new(code, "rabbitmq refused").status(said.get_id().to_string()).caused_by(error)
        }
        ErrorKind::ChannelsLimitReached => {
            Error::new(Code::ResourceExhausted, "all channels of the connection are in use").caused_by(error)
        }
        _ => Error::unavailable("the connection to rabbitmq was lost").caused_by(error),
    }
}

/// The error of an operation that may have been carried out.
pub fn sent(error: &lapin::Error) -> Error {
    let begun = !matches!(
        error.kind(),
        ErrorKind::ProtocolError(_)
            | ErrorKind::InvalidChannelState(..)
            | ErrorKind::InvalidConnectionState(_)
    );
    if begun { of(error).maybe_applied() } else { of(error) }
}

/// The error of a message that was not confirmed.
pub fn unconfirmed(error: &lapin::Error) -> Error {
    match error.kind() {
        ErrorKind::ProtocolError(said) if said.get_id() < 500 && said.get_id() != 320 => of(error),
        _ => of(error).maybe_applied(),
    }
}

/// The error of an attempt to connect.
pub fn connecting(error: &lapin::Error) -> Error {
    match error.kind() {
        ErrorKind::ProtocolError(said) if said.get_id() == 403 => {
            Error::new(Code::Unauthenticated, "rabbitmq refused the credentials")
                .status("403")
                .caused_by(error)
        }
        ErrorKind::ProtocolError(_) => of(error),
        _ => Error::unavailable("cannot connect to rabbitmq").caused_by(error),
    }
}
