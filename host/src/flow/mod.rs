//! Flows: business operations declared as data.
//!
//! A file is read ([`model`], by way of `read`, [`document`], [`schema`], [`template`] and [`expression`]), its steps run as [`plan`] allows
//! ([`engine`]), and what was done is taken back where one of them fails. [`state`] holds every transition there is, and
//! [`crate::journal`] what happened. [`graph`] draws a flow. A run calls roles through [`calls::Calls`] and knows no plugin.

pub mod calls;
pub mod check;
pub(crate) mod clock;
pub mod depth;
pub mod document;
pub mod engine;
pub mod expression;
pub mod graph;
pub mod model;
pub mod plan;
pub(crate) mod read;
mod registry;
pub mod run;
mod runs;
pub mod schema;
pub mod scope;
pub mod set;
pub mod stale;
pub mod starters;
pub mod state;
pub mod template;
pub mod trace;
pub mod trigger;

pub use calls::{Calls, Nature};
pub use engine::{Engine, IDEMPOTENCY, Start, Started};
pub use model::Flow;
pub use run::RunOutcome;
pub use runs::{RunPage, RunShown, RunSummary, Runs};
pub use set::FlowSet;
pub use state::{RunState, StepState};
