//! How a command ends: a code for scripts, and a text for people.

use crate::app::StartError;
use crate::config::{Problem, Problems};
use crate::error::CallFailure;
use crate::flow::set::FlowErrors;
use crate::journal::OpenError;
use chassis_abi::Code;
use serde_json::{Value, json};
use std::process::ExitCode;

/// A command that did not succeed.
#[derive(Debug)]
pub struct Exit {
    code: u8,
    document: Value,
    text: String,
}

/// The operation failed.
pub const FAILED: u8 = 1;
const USAGE: u8 = 2;
const CONFIG: u8 = 3;
/// The same may succeed later.
pub const UNAVAILABLE: u8 = 4;
/// As shells say of a process that SIGINT ended.
pub const INTERRUPTED: u8 = 130;

impl Exit {
    /// Something that no other code is for.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::plain(FAILED, "failed", message.into())
    }

    /// The arguments make no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::plain(USAGE, "usage", message.into())
    }

    /// The same may succeed later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::plain(UNAVAILABLE, "unavailable", message.into())
    }

    /// What a host answered instead of a result.
    pub fn problem(document: Value) -> Self {
        let code = document["code"].as_str().unwrap_or("unknown").to_owned();
        let text = format!("{code}: {}", document["detail"].as_str().unwrap_or("the host gives no reason"));
        let found = Code::ALL.iter().copied().find(|known| known.as_str() == code).unwrap_or(Code::Unknown);
        Self { code: of_code(found), document, text }
    }

    /// The same with what to do.
    pub fn advised(mut self, advice: &str) -> Self {
        self.text.push_str(&format!("\n  {advice}"));
        self.document["advice"] = advice.into();
        self
    }

    /// It was interrupted.
    pub fn interrupted() -> Self {
        Self::plain(INTERRUPTED, "interrupted", "interrupted: the call is cancelled".to_owned())
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn plain(code: u8, kind: &str, text: String) -> Self {
        Self { code, document: json!({ "code": kind, "message": text }), text }
    }
}

impl From<Problem> for Exit {
    fn from(problem: Problem) -> Self {
        Problems::from(problem).into()
    }
}

impl From<Problems> for Exit {
    fn from(problems: Problems) -> Self {
        let document = json!({ "code": "config", "problems": problems });
        Self { code: CONFIG, document, text: problems.to_string() }
    }
}

impl From<FlowErrors> for Exit {
    fn from(errors: FlowErrors) -> Self {
        let document = json!({ "code": "flows", "problems": errors });
        Self { code: CONFIG, document, text: errors.to_string() }
    }
}

impl From<StartError> for Exit {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(problems) => problems.into(),
            StartError::Flows(errors) => errors.into(),
            StartError::Telemetry(_) => Self::plain(CONFIG, "config", error.to_string()),
            StartError::Journal(OpenError::Taken { .. } | OpenError::Store(_)) => {
                Self::plain(UNAVAILABLE, "journal", error.to_string())
            }
            StartError::Journal(OpenError::Url(_) | OpenError::File { .. } | OpenError::Database { .. }) => {
                Self::plain(CONFIG, "config", error.to_string())
            }
            StartError::Listen { .. } => {
                let advice = "another process may have it: choose another address, for example CHASSIS__EDGE__LISTEN=127.0.0.1:0";
                Self::plain(UNAVAILABLE, "listen", format!("{error}; {advice}"))
            }
        }
    }
}

impl From<CallFailure> for Exit {
    fn from(failure: CallFailure) -> Self {
        Self { code: of_code(failure.code()), document: json!(failure.document()), text: described(&failure) }
    }
}

fn of_code(code: Code) -> u8 {
    match code {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted => UNAVAILABLE,
        _ => FAILED,
    }
}

/// Tells it, and answers with the code.
pub fn told(exit: &Exit, json: bool) -> ExitCode {
    if json {
        eprintln!("{}", json!({ "error": exit.document }));
    } else {
        eprintln!("error: {}", exit.text);
    }
    ExitCode::from(exit.code)
}

/// Tells what is wrong with the arguments, or the help that was asked for; as JSON where they say so, since they could not be read.
pub fn misused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || !std::env::args_os().any(|argument| argument == "--json") {
        error.exit();
    }
    let text = error.render().to_string();
    told(&Exit::usage(text.trim().trim_start_matches("error: ")), true)
}

/// A failure with what led to it and what to do, a line each.
fn described(failure: &CallFailure) -> String {
    let mut text = failure.to_string();
    let error = &failure.error;
    if let Some(field) = &error.field {
        text.push_str(&format!(" (field {field})"));
    }
    if let Some(status) = &error.status {
        text.push_str(&format!(" (the backend's code: {status})"));
    }
    for cause in &error.causes {
        text.push_str(&format!("\n  because: {cause}"));
    }
    if let Some(policy) = failure.refused_by {
        text.push_str(&format!("\n  refused by {policy}: nothing was sent"));
    }
    if error.maybe_applied {
        text.push_str("\n  it may have taken effect all the same: look before you repeat it");
    } else if error.retryable {
        let wait = error.retry_after.map(|wait| format!(" in {} ms", wait.as_millis())).unwrap_or_default();
        text.push_str(&format!("\n  it may succeed later: try again{wait}"));
    }
    text
}
