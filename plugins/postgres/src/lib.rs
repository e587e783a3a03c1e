//! PostgreSQL as the contract `relational`.
#![forbid(unsafe_code)]

mod batch;
mod config;
mod decode;
mod driver;
mod encode;
mod error;
mod migrate;
mod ops;
mod pool;
mod sql;
mod statement;
mod table;

chassis_guest::export!(driver::Postgres);
