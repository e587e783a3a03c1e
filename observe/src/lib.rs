//! The proof that what the operator sees is true: panels, alerts, traces and links against the real Prometheus, Alertmanager and
//! Jaeger, started with the shipped files.
//!
//! [`stack`] is what is started; [`traces`], [`exemplars`] are the parts; [`parts`] runs them.
#![forbid(unsafe_code)]

pub mod alerts;
pub mod ask;
pub mod exemplars;
pub mod jaeger;
pub mod linter;
pub mod load;
pub mod panels;
pub mod parts;
pub mod process;
pub mod prometheus;
pub mod rules;
pub mod runbooks;
pub mod shorten;
pub mod slowly;
pub mod stack;
pub mod traces;
pub mod tree;
