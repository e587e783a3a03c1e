//! A plugin without a server: the smallest one to read, and the one that the host's own tests load.
#![forbid(unsafe_code)]

mod config;
mod ops;

chassis_guest::export!(ops::Echo);
