//! One conformance suite for every plugin. It knows a plugin only by its file and its manifest: the library is found, inspected,
//! loaded and driven as a host does it.
//!
//! A plugin's `tests/conformance.rs` holds two tests: [`manifest`], which sees that what is generated is current, and [`run`],
//! which runs the cases that hold for any plugin and those of its contract. A case that could not reach its server prints
//! `skipped: NAME: why`.
#![forbid(unsafe_code)]

mod bench;
mod case;
mod generic;
mod leaks;
mod liar;
mod library;
mod lies;
mod outage;
mod proxy;
mod readme;
mod recorder;
mod schema;
mod server;
mod subject;

pub mod cache;
pub mod documents;
pub mod http;
pub mod queue;
pub mod relational;
pub mod search;

pub use bench::{Bench, expect_back_pressure, expect_code, expect_eq, next_item};
pub use case::{Case, Failure, Outcome};
pub use chassis_loader::manifest::{Manifest, Operation};
pub use chassis_loader::{Bytes, Call, CallError, Code, ItemStream, Reply, Upload};
pub use liar::{Liar, Lie};
pub use proxy::Proxy;
pub use readme::manifest;
pub use server::{Server, ServerSource};
pub use subject::{Canary, Subject, run};
