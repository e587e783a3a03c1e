//! MongoDB as a store of documents, over a pool of connections.
#![forbid(unsafe_code)]

mod config;
mod convert;
mod driver;
mod error;
mod ops;
mod pool;
mod turn;

chassis_guest::export!(driver::MongoDb);
