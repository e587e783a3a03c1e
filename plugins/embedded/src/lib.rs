//! Tables, documents, cache, queue and search in one SQLite file: everything a flow needs, without a server.
#![forbid(unsafe_code)]

mod cache;
mod config;
mod db;
mod documents;
mod driver;
mod error;
mod filter;
mod hold;
mod json;
mod ops;
mod queue;
mod relational;
mod rows;
mod search;
mod sql;
mod store;
mod terms;

chassis_guest::export!(driver::Embedded);
