//! The other side: the driver, called directly.

use anyhow::Result;
use redis::aio::MultiplexedConnection;

/// The key that is read, and what is under it.
pub const KEY: &str = "chassis:bench";
/// A value as a session has it.
pub const VALUE: &str =
    "{\"id\":6,\"name\":\"Grace Hopper\",\"email\":\"grace@example.com\",\"theme\":\"dark\",\"visits\":17}";

/// Connects, on the runtime of the caller, and writes the value.
pub async fn connect() -> Result<MultiplexedConnection> {
    let client = redis::Client::open(url()?)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("SET").arg(KEY).arg(VALUE).exec_async(&mut connection).await?;
    Ok(connection)
}

/// Reads the value.
pub async fn get(connection: &mut MultiplexedConnection) -> Result<Vec<u8>> {
    Ok(redis::cmd("GET").arg(KEY).query_async(connection).await?)
}

/// Where the server is.
pub fn url() -> Result<String> {
    anyhow::Context::context(std::env::var("CHASSIS_REDIS_URL").ok(), "CHASSIS_REDIS_URL is not set")
}
