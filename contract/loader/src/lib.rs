//! The host's side of the boundary.
//!
//! A plugin's way: [`inspect`] reads the file and runs nothing; [`load`] copies it to a path of its own and opens it, for ever;
//! [`create`] makes an instance; [`Instance::call`] begins a call, a future that the host polls. [`Supervised`] makes an
//! instance anew when a panic has spoilt it. What cannot be loaded is a [`Refusal`], and none of its code has run.
//!
//! # What holds by construction
//! - A library is never closed, so no function pointer of it ever dangles.
//! - An instance is destroyed after all its calls and streams are gone, as each of them holds it.
//! - A call's memory stays where it is until its future and its stream are gone: the stream takes it along.

mod call;
mod error;
mod ffi;
mod generation;
mod header;
mod inspect;
mod instance;
mod io;
mod plugin;
mod refusal;
mod sanity;
mod services;
mod stream;
mod supervisor;
mod table;
#[cfg(test)]
mod table_tests;
mod upload;

pub use call::{Call, CallFuture, Reply};
pub use error::CallError;
pub use inspect::{Inspected, inspect};
pub use instance::{Destroyed, Instance, create};
pub use plugin::{LoadOptions, MAX_LOADS, Plugin, load};
pub use refusal::{Refusal, RefusalKind};
pub use services::{Crash, HostServices, Level, MetricKind};
pub use stream::{ItemStream, StreamObserver};
pub use supervisor::Supervised;
pub use upload::{Upload, UploadClosed, UploadSender};

pub use bytes::Bytes;
pub use chassis_abi::Code;
pub use chassis_abi::manifest;
