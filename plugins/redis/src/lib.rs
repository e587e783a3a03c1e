//! Redis as a cache, over one multiplexed connection that reconnects by itself.
#![forbid(unsafe_code)]

mod config;
mod connection;
mod driver;
mod error;
mod ops;

chassis_guest::export!(driver::Redis);
