//! The plugin host: loads backends from shared libraries, and calls them with telemetry and protection.
//!
//! The way of a call: [`edge`] (or [`cli`]) -> [`flow`] (optional) -> [`policy`] -> the boundary (`chassis-loader`) -> plugin.
//! Each arrow goes one way, and nothing here names a backend.

#![forbid(unsafe_code)]

pub mod app;
pub mod cases;
pub mod cli;
pub mod config;
pub mod demo;
pub mod drain;
pub mod edge;
pub mod error;
pub mod faults;
pub mod flow;
pub mod journal;
pub mod policy;
pub mod registry;
pub mod request;
pub mod static_server;
pub mod telemetry;
pub mod triggers;
