//! The proof that what an operator sees is true: dashboards, alerts, traces and links, against the real servers.
#![forbid(unsafe_code)]

pub mod linter;
