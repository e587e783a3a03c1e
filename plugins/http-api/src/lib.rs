//! Requests to an HTTP API below a base URL.
#![forbid(unsafe_code)]

mod config;
mod driver;
mod error;
mod ops;
mod request;
mod response;

chassis_guest::export!(driver::HttpApi);
