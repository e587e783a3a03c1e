//! What starts runs of a flow, beside those who ask for one.

mod route;
mod schedule;

pub use route::Route;
pub use schedule::Schedule;

use super::scope::Scope;
use super::template::Template;
use crate::error::CallFailure;
use chassis_abi::Code;
use serde_json::Value;

/// The operation that brings messages, of whoever plays the role of a broker.
pub const CONSUME: &str = "queue.consume";

/// Something that starts runs.
#[derive(Debug)]
pub struct Trigger {
    /// What it waits for.
    pub kind: Kind,
    /// The input of the run. Where it is not said: the message's body, the request's body, or nothing.
    pub input: Option<Template>,
}

/// What a trigger waits for.
#[derive(Debug)]
pub enum Kind {
    /// A request.
    Http(Route),
    /// A message.
    Queue(Source),
    /// A time.
    Schedule(Schedule),
    /// The start of the host.
    Start,
}

/// Where messages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The role of the broker.
    pub role: String,
    /// The queue.
    pub queue: String,
    /// At most so many messages at once.
    pub prefetch: u16,
    /// Where messages go that no run can be made of.
    pub dead_letter: Option<String>,
    /// After so many deliveries.
    pub max_deliveries: u32,
}

impl Kind {
    /// Its name, in files and on the screen.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Queue(_) => "queue",
            Self::Schedule(_) => "schedule",
            Self::Start => "start",
        }
    }
}

impl Trigger {
    /// The input of a run, made of what the trigger brings: `request`, `message` or `tick`. Where the file says none, it is `otherwise`.
    ///
    /// # Errors
    /// An expression that cannot be evaluated, with why.
    pub fn make_input(
        &self,
        root: &'static str,
        brought: &Value,
        roles: &Value,
        otherwise: Value,
    ) -> Result<Value, CallFailure> {
        let Some(template) = &self.input else { return Ok(otherwise) };
        let scope = Scope::default().with(root, brought).with("roles", roles);
        template.render(&scope).map_err(|reason| {
            let message = format!("the input of the {} trigger cannot be made: {reason}", self.kind.as_str());
            CallFailure::new(Code::InvalidArgument, message)
        })
    }

    /// How it is shown: `http POST /users`.
    pub fn shown(&self) -> String {
        match &self.kind {
            Kind::Http(route) => format!("http {} {}", route.method, route.path),
            Kind::Queue(source) => format!("queue {} of {}", source.queue, source.role),
            Kind::Schedule(schedule) => format!("schedule {}", schedule.as_str()),
            Kind::Start => "start".to_owned(),
        }
    }
}
