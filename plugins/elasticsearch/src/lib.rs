//! Elasticsearch as a full-text search.
#![forbid(unsafe_code)]

mod bulk;
mod config;
mod driver;
mod error;
mod ops;
mod query;

chassis_guest::export!(driver::Elastic);
