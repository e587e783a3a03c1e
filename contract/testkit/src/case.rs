//! One thing to prove.

use crate::Bench;
use chassis_loader::CallError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// One thing to prove about a plugin.
#[derive(Clone, Copy)]
pub struct Case {
    /// What it proves, as a sentence without its full stop.
    pub name: &'static str,
    /// Proves it.
    pub run: for<'a> fn(&'a Bench) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>,
}

/// Proven, or why not.
pub type Outcome = Result<(), Failure>;

/// Why a case is not proven.
#[derive(Debug)]
pub enum Failure {
    /// The plugin is wrong.
    Wrong(String),
    /// It could not be tried, and why.
    Skipped(String),
}

impl Failure {
    /// It could not be tried.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(why.into())
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Wrong(format!("{error} {:?}", error.causes))
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

impl From<&str> for Failure {
    fn from(why: &str) -> Self {
        Self::Wrong(why.to_owned())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(why) => f.write_str(why),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// A list of cases out of `"what it proves" => async_fn` lines.
#[macro_export]
macro_rules! cases {
    ($($name:literal => $run:path),+ $(,)?) => {
        &[$($crate::Case { name: $name, run: |bench| Box::pin($run(bench)) }),+]
    };
}
