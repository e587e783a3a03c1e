//! `chassis fault`

use super::client::At;
use super::{Exit, Global, table};
use crate::config::units::Span;
use crate::faults::{FaultSpec, Kind};
use chassis_abi::Code;
use clap::{Args, Subcommand};
use hyper::Method;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as Misread, StrDeserializer};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Inject faults into a host that runs: errors, slowness, timeouts, panics, a crash
///
/// Only a host whose configuration says `[fault_injection] enabled = true` takes them. Faults of the configuration stand there
/// as `[[faults]]`, with the same names.
#[derive(Debug, Args)]
pub struct Fault {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Set(Box<Set>),
    List(List),
    Clear(Clear),
}

/// Put a fault in force, or replace the one of that name
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chassis fault set error --instance search --operation index --first 3
  chassis fault set error --instance users --code aborted --retryable --probability 0.2
  chassis fault set latency --instance sessions --latency 200ms
  chassis fault set timeout_after --instance users --operation insert --nth 1
  chassis fault set panic --instance search --nth 5
  chassis fault set crash --point after_commit --nth 3")]
struct Set {
    /// What happens
    kind: Kind,
    /// By which it is shown and cleared
    #[arg(long)]
    name: Option<String>,
    /// The instance, or the role that it plays; any, if none is named
    #[arg(long)]
    instance: Option<String>,
    /// The operation; any, if none is named
    #[arg(long)]
    operation: Option<String>,
    /// Of an error: its canonical code
    #[arg(long, value_parser = code)]
    code: Option<Code>,
    /// Of an error: its text
    #[arg(long)]
    message: Option<String>,
    /// Of an error: the same call may succeed later
    #[arg(long)]
    retryable: bool,
    /// Of an error: its effect may have happened
    #[arg(long)]
    maybe_applied: bool,
    /// How long the call is held up before anything else
    #[arg(long, value_name = "TIME", value_parser = span)]
    latency: Option<Span>,
    /// Of a crash: the side of a journal's write, `before_commit` or `after_commit`
    #[arg(long, value_name = "POINT")]
    point: Option<String>,
    /// How likely each call meets it, from 0 to 1
    #[arg(long, group = "often", value_name = "P")]
    probability: Option<f64>,
    /// Only the first so many calls meet it
    #[arg(long, group = "often", value_name = "N")]
    first: Option<u64>,
    /// Every so many calls one meets it
    #[arg(long, group = "often", value_name = "N")]
    every: Option<u64>,
    /// Only the call of this number meets it
    #[arg(long, group = "often", value_name = "N")]
    nth: Option<u64>,
    #[command(flatten)]
    at: At,
}

/// Show the faults in force, and how many hits are left of each
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    at: At,
}

/// Lift one fault, or all
#[derive(Debug, Args)]
struct Clear {
    /// Its name; without it all go
    name: Option<String>,
    #[command(flatten)]
    at: At,
}

impl Fault {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        let answer = match self.verb {
            Verb::Set(set) => {
                let (at, spec) = set.into_spec();
                let answer = at.ask(global, Method::POST, "/v1/faults", Some(&json!(spec))).await?;
                if !global.json {
                    println!("{} is in force", answer["name"].as_str().unwrap_or("the fault"));
                }
                answer
            }
            Verb::List(List { at }) => {
                let answer = at.ask(global, Method::GET, "/v1/faults", None).await?;
                if !global.json {
                    show(&answer);
                }
                answer
            }
            Verb::Clear(Clear { name, at }) => {
                let path = name.map_or_else(|| "/v1/faults".to_owned(), |name| format!("/v1/faults/{name}"));
                let answer = at.ask(global, Method::DELETE, &path, None).await?;
                if !global.json {
                    println!("{} cleared", answer["cleared"]);
                }
                answer
            }
        };
        if global.json {
            println!("{answer}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    fn into_spec(self) -> (At, FaultSpec) {
        let spec = FaultSpec {
            name: self.name,
            instance: self.instance,
            operation: self.operation,
            kind: self.kind,
            code: self.code,
            message: self.message,
            retryable: self.retryable,
            maybe_applied: self.maybe_applied,
            latency: self.latency,
            at: self.point,
            probability: self.probability,
            first: self.first,
            every: self.every,
            nth: self.nth,
        };
        (self.at, spec)
    }
}

fn show(answer: &Value) {
    let faults = answer["faults"].as_array().map(Vec::as_slice).unwrap_or_default();
    if faults.is_empty() {
        return println!("no fault is in force");
    }
    let text = |value: &Value| value.as_str().unwrap_or("any").to_owned();
    let rows = faults.iter().map(|fault| {
        let often = ["probability", "first", "every", "nth"];
        let often = often.iter().find(|often| !fault[**often].is_null());
        let often = often.map_or_else(|| "always".to_owned(), |often| format!("{often} {}", fault[*often]));
        let left =
            if fault["hits_left"].is_null() { "no end".to_owned() } else { fault["hits_left"].to_string() };
        let place = if fault["kind"] == "crash" {
            [text(&fault["at"]), "journal".to_owned()]
        } else {
            [text(&fault["operation"]), text(&fault["instance"])]
        };
        let [what, whose] = place;
        [text(&fault["name"]), whose, what, text(&fault["kind"]), often, fault["hits"].to_string(), left]
    });
    table::print(["fault", "instance", "operation", "kind", "how often", "hits", "left"], rows);
}

fn code(text: &str) -> Result<Code, String> {
    let known = || Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>().join(", ");
    read(text).map_err(|_| format!("one of: {}", known()))
}

fn span(text: &str) -> Result<Span, String> {
    read(text).map_err(|error| error.to_string())
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Misread> {
    T::deserialize(IntoDeserializer::<Misread>::into_deserializer(text) as StrDeserializer<'a, Misread>)
}
