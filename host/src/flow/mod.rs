//! Flows: business operations declared as data.
//!
//! A file is read ([`model`], by way of `read`, [`document`], [`schema`], [`template`] and [`expression`]), its steps run as [`plan`] allows
//! ([`engine`], `progress`, `forward`), and what was done is taken back where one of them fails (`undo`). [`state`] holds every
//! transition there is, and [`crate::journal`] what happened: a run that a dead host leaves is taken up (`recover`). A run calls roles through [`calls::Calls`] and knows no plugin.

pub mod calls;
pub mod check;
mod child;
pub(crate) mod clock;
pub mod document;
pub mod engine;
pub mod expression;
mod forward;
mod job;
mod list;
pub mod model;
pub mod plan;
mod progress;
mod read;
mod recover;
mod registry;
pub mod run;
mod runs;
pub mod schema;
pub mod scope;
mod seen;
mod send;
pub mod set;
pub mod stale;
mod started;
pub mod state;
mod step;
pub mod template;
pub mod trace;
pub mod trigger;
mod undo;
mod way;

pub use calls::{Calls, Nature};
pub use engine::{Engine, IDEMPOTENCY, Start};
pub use model::Flow;
pub use run::RunOutcome;
pub use runs::{RunPage, RunShown, RunSummary, Runs};
pub use set::FlowSet;
pub use started::Started;
pub use state::{RunState, StepState};
