//! Faults of every kind against create-user over five stores, and then all five read directly: each user is in all of them or in none.
//!
//! A [`site::Site`] is a place to break things in; [`host::Host`] is a host as a process. The parts are [`matrix`],
//! [`schedules`], [`journal_kills`], [`random_kills`] and [`network`]; [`verdict`] compares what they left.
#![forbid(unsafe_code)]

pub mod host;
pub mod journal;
pub mod journal_kills;
pub mod matrix;
pub mod network;
pub mod parts;
pub mod random_kills;
pub mod report;
pub mod schedules;
pub mod seed;
pub mod site;
pub mod still;
pub mod stores;
mod toxiproxy;
pub mod verdict;
pub mod words;
