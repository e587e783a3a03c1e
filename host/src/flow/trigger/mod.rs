//! What starts runs of a flow, beside those who ask for one.

mod schedule;

pub use schedule::Schedule;

use super::template::Template;

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

/// Where requests come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `POST`.
    pub method: String,
    /// `/users/{id}`.
    pub path: String,
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

impl Route {
    /// Whether a request can be meant for both.
    pub fn meets(&self, other: &Self) -> bool {
        let shape = |route: &Self| -> Vec<Option<String>> {
            let plain = |segment: &str| (!segment.starts_with('{')).then(|| segment.to_owned());
            route.path.split('/').map(plain).collect()
        };
        self.method == other.method && shape(self) == shape(other)
    }

    /// The names in braces: `id`.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }
}
