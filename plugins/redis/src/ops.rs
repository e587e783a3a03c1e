//! The contract `cache`, command by command.

use crate::driver::Redis;
use crate::error;
use chassis_guest::contracts::cache::{
    Cache, Deleted, Expire, Expired, Found, Get, GetOutput, Increment, Key, Number, Set, SetOutput, SetRaw,
};
use chassis_guest::contracts::{Batch, BatchOutput};
use chassis_guest::serde_json::{self, Value as Json};
use chassis_guest::{Call, Code, Effect, Error};
use redis::{Cmd, FromRedisValue, Pipeline, Value, from_redis_value};
use std::borrow::Cow;

impl Cache for Redis {
    async fn get(&self, _: Call<'_>, input: Get) -> Result<GetOutput, Error> {
        let value = self.query(&command("GET", &input.key), Effect::Read).await?;
        output(value, input.json)
    }

    async fn get_many(&self, _: Call<'_>, input: Batch<Get>) -> Result<BatchOutput<GetOutput>, Error> {
        // Not MGET: it answers nil for a key that holds no string, where GET says so.
        let mut commands = Pipeline::with_capacity(input.items.len());
        for item in &input.items {
            commands.add_command(command("GET", &item.key));
        }
        let values = self.query_many(&commands, Effect::Read).await?;
        Ok(values
            .into_iter()
            .zip(&input.items)
            .map(|(value, item)| output(accepted(value)?, item.json))
            .collect())
    }

    async fn set(&self, _: Call<'_>, input: Set) -> Result<SetOutput, Error> {
        let command = set(&input.key, &stored(&input.value)?, input.ttl_ms, input.if_absent)?;
        Ok(was_stored(&self.query(&command, Effect::Write).await?))
    }

    async fn set_many(&self, _: Call<'_>, input: Batch<Set>) -> Result<BatchOutput<SetOutput>, Error> {
        let mut commands = Pipeline::with_capacity(input.items.len());
        let mut refusals = Vec::with_capacity(input.items.len());
        for item in &input.items {
            let command =
                stored(&item.value).and_then(|value| set(&item.key, &value, item.ttl_ms, item.if_absent));
            refusals.push(command.map(|command| {
                commands.add_command(command);
            }));
        }
        let mut values = self.query_many(&commands, Effect::Write).await?.into_iter();
        Ok(refusals
            .into_iter()
            .map(|refusal| {
                refusal?;
                Ok(was_stored(&accepted(values.next().unwrap_or(Value::Nil))?))
            })
            .collect())
    }

    async fn delete(&self, _: Call<'_>, input: Key) -> Result<Deleted, Error> {
        let deleted: u64 = self.write(&command("DEL", &input.key)).await?;
        Ok(Deleted { deleted: deleted > 0 })
    }

    async fn expire(&self, _: Call<'_>, input: Expire) -> Result<Expired, Error> {
        let ttl = ttl(input.ttl_ms)?;
        let exists = self.write(command("PEXPIRE", &input.key).arg(ttl)).await?;
        Ok(Expired { exists })
    }

    async fn increment(&self, _: Call<'_>, input: Increment) -> Result<Number, Error> {
        let value = self.write(command("INCRBY", &input.key).arg(input.by)).await?;
        Ok(Number { value })
    }

    async fn get_raw(&self, _: Call<'_>, input: Key) -> Result<(Found, Vec<u8>), Error> {
        match self.query(&command("GET", &input.key), Effect::Read).await? {
            Value::Nil => Ok((Found { found: false }, Vec::new())),
            value => Ok((Found { found: true }, bytes(value)?)),
        }
    }

    async fn set_raw(&self, call: Call<'_>, input: SetRaw) -> Result<SetOutput, Error> {
        let command = set(&input.key, call.raw(), input.ttl_ms, input.if_absent)?;
        Ok(was_stored(&self.query(&command, Effect::Write).await?))
    }
}

impl Redis {
    async fn write<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let value = self.query(command, Effect::Write).await?;
        from_redis_value(value).map_err(|error| error::parse(&error))
    }
}

fn command(name: &str, key: &str) -> Cmd {
    let mut command = Cmd::with_capacity(2, name.len() + key.len());
    command.arg(name).arg(key);
    command
}

fn set(key: &str, value: &[u8], ttl_ms: Option<u64>, if_absent: bool) -> Result<Cmd, Error> {
    let mut command = Cmd::with_capacity(6, key.len() + value.len() + 32);
    command.arg("SET").arg(key).arg(value);
    if let Some(ttl_ms) = ttl_ms {
        command.arg("PX").arg(ttl(ttl_ms)?);
    }
    if if_absent {
        command.arg("NX");
    }
    Ok(command)
}

fn ttl(ttl_ms: u64) -> Result<i64, Error> {
    match i64::try_from(ttl_ms) {
        Ok(ttl @ 1..) => Ok(ttl),
        _ => Err(Error::invalid("ttl_ms", "must be a number of milliseconds from 1 on")),
    }
}

/// Nil says that NX found the key.
fn was_stored(value: &Value) -> SetOutput {
    SetOutput { stored: !matches!(value, Value::Nil) }
}

/// An answer out of many.
fn accepted(value: Value) -> Result<Value, Error> {
    value.extract_error().map_err(|error| error::of(&error, Effect::Read))
}

fn stored(value: &Json) -> Result<Cow<'_, [u8]>, Error> {
    match value {
        Json::String(text) => Ok(text.as_bytes().into()),
        other => match serde_json::to_vec(other) {
            Ok(json) => Ok(json.into()),
            Err(error) => Err(Error::invalid("value", "cannot be written as JSON").caused_by(&error)),
        },
    }
}

fn output(value: Value, json: bool) -> Result<GetOutput, Error> {
    let value = match value {
        Value::Nil => None,
        value if json => Some(serde_json::from_slice(&bytes(value)?).map_err(|_| not("JSON"))?),
        value => {
            Some(Json::String(String::from_utf8(bytes(value)?).map_err(|_| not("text; read it by get_raw"))?))
        }
    };
    Ok(GetOutput { value })
}

fn bytes(value: Value) -> Result<Vec<u8>, Error> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        other => from_redis_value(other).map_err(|error| error::parse(&error)),
    }
}

fn not(what: &str) -> Error {
    Error::new(Code::FailedPrecondition, format!("the value is not {what}"))
}
