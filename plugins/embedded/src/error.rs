//! SQLite's errors as ours.

use chassis_guest::{Code, Error};

/// The call's error for a driver's error.
pub(crate) fn from(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(cause) => {
            let code = cause.code().and_then(|code| code.parse().ok()).unwrap_or(0);
            of_code(code, cause.message()).status(code.to_string())
        }
        sqlx::Error::Io(_) => Error::unavailable("the database file cannot be used").caused_by(&error),
        sqlx::Error::WorkerCrashed => Error::unavailable("the database connection is gone"),
        sqlx::Error::Encode(_) | sqlx::Error::Protocol(_) => {
            Error::invalid("params", "the parameters do not fit the statement").caused_by(&error)
        }
        _ => Error::internal("the database driver failed").caused_by(&error),
    }
}

/// The same, for a statement that the caller wrote: a syntax error names its position.
pub(crate) fn of_statement(error: sqlx::Error, sql: &str) -> Error {
    let ours = from(error);
    if ours.code() != Code::InvalidArgument {
        return ours;
    }
    let at = ours.message().split('"').nth(1).and_then(|near| sql.find(near));
    match at {
        Some(at) if ours.message().starts_with("near ") => {
            let character = sql[..at].chars().count() + 1;
            Error::invalid("sql", format!("{} at character {character}", ours.message())).status("1")
        }
        _ => ours,
    }
}

/// Whether the error says that there is no such table.
pub(crate) fn is_missing_table(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(cause) if cause.message().starts_with("no such table"))
}

fn of_code(code: i32, message: &str) -> Error {
    let primary = code & 0xff;
    let constraint = || message.rsplit_once(": ").map_or("", |(_, rest)| rest);
    match primary {
        // The extended codes of SQLITE_CONSTRAINT.
        19 => match code {
            2067 | 1555 | 2579 => {
                Error::new(Code::AlreadyExists, message.to_owned()).field(unique_field(constraint()))
            }
            1299 => Error::invalid(column(constraint()), message.to_owned()),
            275 => Error::invalid(constraint(), message.to_owned()),
            _ => Error::new(Code::FailedPrecondition, message.to_owned()),
        },
        1 if message.starts_with("no such table") || message.starts_with("no such index") => {
            Error::new(Code::NotFound, message.to_owned())
        }
        1 | 18 | 20 | 25 => Error::invalid("sql", message.to_owned()),
        5 | 6 | 517 => Error::new(Code::Aborted, message.to_owned()),
        8 | 26 => Error::new(Code::FailedPrecondition, message.to_owned()),
        9 => Error::new(Code::Cancelled, "the statement was interrupted"),
        10 | 14 => Error::unavailable(format!("the database file cannot be used: {message}")),
        11 => Error::new(Code::DataLoss, message.to_owned()),
        13 => Error::new(Code::ResourceExhausted, message.to_owned()),
        _ => Error::internal(message.to_owned()),
    }
}

/// `users.email, users.name` names columns, `index 'chassis:c:email_1'` an index of a collection.
fn unique_field(constraint: &str) -> String {
    if let Some(index) = constraint.strip_prefix("index '") {
        let index = index.trim_end_matches('\'');
        let name = index.rsplit(':').next().unwrap_or(index);
        return name.trim_end_matches("_1").trim_end_matches("_-1").to_owned();
    }
    constraint.split(", ").map(column).collect::<Vec<_>>().join(", ")
}

fn column(qualified: &str) -> String {
    qualified.rsplit('.').next().unwrap_or(qualified).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unique_violation_names_its_columns() {
        let error = of_code(2067, "UNIQUE constraint failed: users.email, users.realm");
        assert_eq!(error.code(), Code::AlreadyExists);
        assert_eq!(unique_field("users.email, users.realm"), "email, realm");
        assert_eq!(unique_field("index 'chassis:people:email_1'"), "email");
    }
}
