//! What a fault is to be: `[[faults]]` of a configuration, and the body of `POST /v1/faults`.

use crate::config::units::Span;
use crate::error::CallFailure;
use chassis_abi::Code;
use serde::{Deserialize, Serialize};

/// Whether faults may be set, and how chance is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultInjection {
    /// Nothing of it works unless this is true.
    pub enabled: bool,
    /// The same seed, faults and order of calls give the same hits.
    pub seed: u64,
}

/// One fault: what happens, to which calls, and how often.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultSpec {
    /// By which it is shown and cleared; made up if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The instance, or the role that it plays; any, if none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The operation; any, if none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What happens.
    pub kind: Kind,
    /// Of an error: its canonical code; `unavailable` if none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Of an error: its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Of an error: that the same call may succeed later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
    /// Of an error: that the effect may have happened.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub maybe_applied: bool,
    /// How long the call is held up before anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Span>,
    /// Of a crash: at which side of a write of the journal, `before_commit` or `after_commit`; either, if none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// How likely each call meets it, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Only the first so many calls meet it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Every so many calls one meets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// Only the call of this number, counted from 1, meets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
}

/// What happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum Kind {
    /// The call fails, and nothing is sent
    #[default]
    Error,
    /// The call is held up, then sent
    Latency,
    /// Nothing is sent; the call hangs until its limit
    TimeoutBefore,
    /// The call is sent and its answer lost; it hangs until its limit
    TimeoutAfter,
    /// The plugin panics; its instance is made again
    Panic,
    /// The host ends as if by kill -9, at a write of its journal
    Crash,
}

/// How often it happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frequency {
    /// At every call.
    Always,
    /// With this probability.
    Probability(f64),
    /// At the first so many.
    First(u64),
    /// Once in so many.
    Every(u64),
    /// At this one.
    Nth(u64),
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Error, Self::Latency, Self::TimeoutBefore, Self::TimeoutAfter, Self::Panic, Self::Crash];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Latency => "latency",
            Self::TimeoutBefore => "timeout_before",
            Self::TimeoutAfter => "timeout_after",
            Self::Panic => "panic",
            Self::Crash => "crash",
        }
    }
}

impl FaultSpec {
    /// What may be said of a fault.
    pub const FIELDS: &[&str] = &[
        "name",
        "instance",
        "operation",
        "kind",
        "code",
        "message",
        "retryable",
        "maybe_applied",
        "latency",
        "at",
        "probability",
        "first",
        "every",
        "nth",
    ];

    /// How often it happens.
    pub fn frequency(&self) -> Frequency {
        match (self.probability, self.first, self.every, self.nth) {
            (Some(probability), ..) => Frequency::Probability(probability),
            (_, Some(count), ..) => Frequency::First(count),
            (_, _, Some(count), _) => Frequency::Every(count),
            (.., Some(number)) => Frequency::Nth(number),
            _ => Frequency::Always,
        }
    }

    /// Whether its parts fit together.
    ///
    /// # Errors
    /// `invalid_argument` with the field that is at fault, and what to write instead.
    pub fn check(&self) -> Result<(), CallFailure> {
        let often =
            [self.probability.is_some(), self.first.is_some(), self.every.is_some(), self.nth.is_some()];
        let of_error = self.code.is_some() || self.message.is_some() || self.retryable || self.maybe_applied;
        if often.iter().filter(|given| **given).count() > 1 {
            return wrong("probability", "say one of `probability`, `first`, `every` and `nth`");
        }
        if self.probability.is_some_and(|chance| !(0.0..=1.0).contains(&chance)) {
            return wrong("probability", "must be from 0 to 1");
        }
        if self.every == Some(0) || self.nth == Some(0) {
            return wrong(if self.nth.is_some() { "nth" } else { "every" }, "counts from 1");
        }
        if self.kind == Kind::Latency && self.latency.is_none() {
            return wrong("latency", "say how long, such as \"200ms\"");
        }
        if self.kind != Kind::Error && of_error {
            return wrong(
                "kind",
                "`code`, `message`, `retryable` and `maybe_applied` belong to the kind `error`",
            );
        }
        let aimed = self.instance.is_some() || self.operation.is_some() || self.latency.is_some();
        if self.kind == Kind::Crash && aimed {
            return wrong("kind", "a crash is aimed with `at` at a point of the journal, not at a call");
        }
        if self.kind != Kind::Crash && self.at.is_some() {
            return wrong("at", "belongs to the kind `crash`");
        }
        Ok(())
    }
}

fn wrong(field: &str, message: &str) -> Result<(), CallFailure> {
    let mut failure = CallFailure::new(Code::InvalidArgument, format!("{field}: {message}"));
    failure.error.field = Some(field.to_owned());
    Err(failure)
}
