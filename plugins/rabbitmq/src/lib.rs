//! RabbitMQ as a queue: confirmed publishing, consumption that outlives the connection.
#![forbid(unsafe_code)]

mod config;
mod connection;
mod consume;
mod driver;
mod error;
mod greeting;
mod leash;
mod link;
mod message;
mod ops;
mod publish;
mod receipts;
mod retract;

chassis_guest::export!(driver::Rabbit);
