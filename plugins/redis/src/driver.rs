//! The plugin: how it is opened, asked and kept healthy.

use crate::config::Config;
use crate::connection::{self, Connection};
use crate::error;
use chassis_guest::{Context, Effect, Error, Health, Operations, Plugin};
use redis::{Cmd, Pipeline, Value, cmd};

/// The plugin.
pub struct Redis {
    connection: Connection,
}

impl Plugin for Redis {
    type Config = Config;

    fn operations(operations: &mut Operations<Self>) {
        operations.cache();
    }

    async fn open(config: Config, context: Context) -> Result<Self, Error> {
        Ok(Self { connection: connection::keep(&config, context)? })
    }

    async fn health(&self) -> Result<Health, Error> {
        let info = self.query(cmd("INFO").arg("server"), Effect::Read).await?;
        let info: String = redis::from_redis_value(info).map_err(|error| error::parse(&error))?;
        let find = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
                .to_owned()
        };
        let details = [("mode".to_owned(), find("redis_mode"))].into();
        Ok(Health { server_version: find("redis_version"), details, pool: None })
    }
}

impl Redis {
    /// Sends a command and waits for its answer.
    pub(crate) async fn query(&self, command: &Cmd, effect: Effect) -> Result<Value, Error> {
        let (mut connection, waiting) = self.connection.get().await?;
        let answer = waiting.answered(connection.send_packed_command(command).await);
        answer.and_then(Value::extract_error).map_err(|error| error::of(&error, effect))
    }

    /// Sends commands at once and waits for all answers. One that the server refuses is a [`Value::ServerError`] among them.
    pub(crate) async fn query_many(&self, commands: &Pipeline, effect: Effect) -> Result<Vec<Value>, Error> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let (mut connection, waiting) = self.connection.get().await?;
        let answers = connection.send_packed_commands(commands, 0, commands.len()).await;
        waiting.answered(answers).map_err(|error| error::of(&error, effect))
    }
}
