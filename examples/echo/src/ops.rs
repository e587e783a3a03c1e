//! The plugin and its operations.

use crate::config::Config;
use chassis_guest::serde_json::Value;
use chassis_guest::tokio::time::sleep;
use chassis_guest::{Call, Context, Error, Health, Items, Level, Operations, Plugin, Upload};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

chassis_guest::contract! {
    /// Operations that need no server.
    pub trait Own = own, kind = Internal {
        /// Answers its input.
        unary echo(Said) -> Said { effect: Read, idempotent: true }
        /// Answers its raw attachment.
        raw echo_raw(Nothing) -> Nothing { effect: Read, idempotent: true, raw_input: true }
        /// Answers its raw attachment, without any JSON.
        bytes echo_bytes(()) -> () { effect: Read, idempotent: true }
        /// Answers after a while.
        unary sleep(Sleep) -> Slept { effect: Read, idempotent: true }
        /// Panics.
        unary panic(Nothing) -> Nothing { effect: Read }
        /// Counts, a number an item.
        stream count(Count) -> Number { effect: Read, idempotent: true }
        /// Adds up the numbers of an upload.
        upload sum(Nothing) -> Number { effect: Read }
        /// Tells what came along with the call.
        unary context(Nothing) -> Seen { effect: Read, idempotent: true }
        /// Tells how many sleeps were dropped before their end.
        unary cancelled(Nothing) -> Number { effect: Read, idempotent: true }
        /// Has a task panic that nobody waits for.
        unary panic_in_task(Nothing) -> Nothing { effect: Read }
    }
}

/// No input, no output.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Any value.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// The value.
    pub value: Value,
}

/// How long.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sleep {
    /// Milliseconds.
    pub ms: u64,
}

/// How long it was.
#[derive(Serialize, JsonSchema)]
pub struct Slept {
    /// Milliseconds.
    pub ms: u64,
}

/// How far.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The last number.
    pub to: u64,
    /// Fail after the last number.
    #[serde(default)]
    pub fail: bool,
}

/// A number.
#[derive(Deserialize, Serialize, JsonSchema)]
pub struct Number {
    /// The number.
    pub n: u64,
}

/// What came along with a call.
#[derive(Serialize, JsonSchema)]
pub struct Seen {
    /// W3C `traceparent`.
    pub traceparent: Option<String>,
    /// W3C `tracestate`.
    pub tracestate: Option<String>,
    /// The idempotency key.
    pub idempotency_key: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// Milliseconds until the deadline.
    pub remaining_ms: Option<u64>,
    /// The instance's name.
    pub instance: String,
}

/// The plugin.
pub struct Echo {
    config: Config,
    context: Context,
    cancelled: AtomicU64,
}

impl Plugin for Echo {
    type Config = Config;

    fn operations(operations: &mut Operations<Self>) {
        register(operations);
    }

    async fn open(config: Config, context: Context) -> Result<Self, Error> {
        if config.prefix.len() > 100 {
            return Err(Error::invalid("prefix", "must be at most 100 bytes long"));
        }
        context.log(Level::Debug, "echo opened", [("prefix", config.prefix.clone().into())]);
        Ok(Self { config, context, cancelled: AtomicU64::new(0) })
    }

    async fn health(&self) -> Result<Health, Error> {
        if self.config.down {
            return Err(Error::unavailable("is configured to be down"));
        }
        Ok(Health { server_version: env!("CARGO_PKG_VERSION").to_owned(), ..Health::default() })
    }
}

impl Own for Echo {
    async fn echo(&self, _: Call<'_>, input: Said) -> Result<Said, Error> {
        Ok(match input.value {
            Value::String(text) if !self.config.prefix.is_empty() => {
                Said { value: format!("{}{text}", self.config.prefix).into() }
            }
            value => Said { value },
        })
    }

    async fn echo_raw(&self, call: Call<'_>, _: Nothing) -> Result<(Nothing, Vec<u8>), Error> {
        Ok((Nothing {}, call.raw().to_vec()))
    }

    async fn echo_bytes(&self, call: Call<'_>) -> Result<Vec<u8>, Error> {
        Ok(call.raw().to_vec())
    }

    async fn sleep(&self, _: Call<'_>, input: Sleep) -> Result<Slept, Error> {
        let unfinished = Unfinished(&self.cancelled);
        sleep(Duration::from_millis(input.ms)).await;
        std::mem::forget(unfinished);
        Ok(Slept { ms: input.ms })
    }

    async fn panic(&self, _: Call<'_>, _: Nothing) -> Result<Nothing, Error> {
        panic!("asked to")
    }

    async fn count(&self, _: Call<'_>, input: Count, mut items: Items<Number>) -> Result<(), Error> {
        for n in 1..=input.to {
            items.send(&Number { n }).await?;
        }
        if input.fail { Err(Error::unavailable("asked to fail")) } else { Ok(()) }
    }

    async fn sum(&self, _: Call<'_>, _: Nothing, mut upload: Upload) -> Result<Number, Error> {
        let mut sum = 0;
        while let Some(Number { n }) = upload.next().await? {
            sum += n;
        }
        Ok(Number { n: sum })
    }

    async fn context(&self, call: Call<'_>, _: Nothing) -> Result<Seen, Error> {
        Ok(Seen {
            traceparent: call.traceparent().map(str::to_owned),
            tracestate: call.tracestate().map(str::to_owned),
            idempotency_key: call.idempotency_key().map(str::to_owned),
            tenant: call.tenant().map(str::to_owned),
            remaining_ms: call.remaining().map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            instance: self.context.instance().to_owned(),
        })
    }

    async fn cancelled(&self, _: Call<'_>, _: Nothing) -> Result<Number, Error> {
        Ok(Number { n: self.cancelled.load(Ordering::Relaxed) })
    }

    async fn panic_in_task(&self, _: Call<'_>, _: Nothing) -> Result<Nothing, Error> {
        self.context.spawn(async { panic!("asked to, in a task") });
        Ok(Nothing {})
    }
}

/// Counts a sleep that is dropped before its end.
struct Unfinished<'a>(&'a AtomicU64);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
