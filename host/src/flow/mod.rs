//! Flows: business operations declared as data.
//!
//! A file is read ([`model`], by way of `read`, [`document`], [`schema`], [`template`] and [`expression`]), its steps run as [`plan`] allows
//! ([`engine`], [`forward`]), and what was done is taken back where one of them fails (`undo`). [`state`] holds every transition there
//! is. A run calls roles through [`calls::Calls`] and knows no plugin.

pub mod calls;
mod clock;
pub mod document;
pub mod engine;
pub mod expression;
pub mod forward;
pub mod model;
pub mod plan;
mod read;
mod registry;
pub mod run;
pub mod schema;
pub mod scope;
pub mod set;
pub mod state;
pub mod template;
pub mod trace;
pub mod trigger;
mod undo;

pub use calls::Calls;
pub use engine::Engine;
pub use model::Flow;
pub use run::RunOutcome;
pub use set::FlowSet;
pub use state::{RunState, StepState};
