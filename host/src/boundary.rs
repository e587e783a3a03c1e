//! What of `chassis-loader` the rest of the host sees.

pub use chassis_loader::{CallError, ItemStream, Reply, Upload};
