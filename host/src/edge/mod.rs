//! The HTTP edge: operations and flows as routes, and what the host says of itself.

mod body;
mod context;
pub mod docs;
pub mod openapi;
mod problem;
mod server;
mod settings;

pub use settings::Settings;
