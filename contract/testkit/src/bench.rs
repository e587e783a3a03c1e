//! An instance under test, and what cases need to talk to it.

use crate::recorder::Recorder;
use crate::{Failure, Outcome, Server, Subject};
use chassis_loader::{Call, CallError, Code, Instance, ItemStream, Plugin, Reply};
use serde_json::Value;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

/// No call of a healthy backend takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// An instance under test.
pub struct Bench {
    pub(crate) subject: Arc<Subject>,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) server: Arc<Server>,
    pub(crate) recorder: Arc<Recorder>,
    instance: Instance,
}

impl Bench {
    pub(crate) async fn open(
        subject: &Arc<Subject>,
        plugin: &Arc<Plugin>,
        server: &Arc<Server>,
        config: Value,
    ) -> Result<Self, CallError> {
        let recorder = Recorder::new(tokio::runtime::Handle::current());
        let (made_of, services) = (Arc::clone(plugin), Arc::clone(&recorder));
        let made = tokio::task::spawn_blocking(move || {
            chassis_loader::create(&made_of, "under-test", &config, services)
        });
        let instance =
            made.await.unwrap_or_else(|error| Err(CallError::new(Code::Internal, error.to_string())))?;
        let (subject, plugin, server) = (Arc::clone(subject), Arc::clone(plugin), Arc::clone(server));
        Ok(Self { subject, plugin, server, recorder, instance })
    }

    /// Another instance of the same plugin, with the same or another configuration.
    ///
    /// # Errors
    /// What the plugin says to its configuration.
    pub async fn another(&self, config: Value) -> Result<Self, CallError> {
        Self::open(&self.subject, &self.plugin, &self.server, config).await
    }

    /// The configuration of this run.
    pub fn config(&self) -> Value {
        (self.subject.config)(&self.server)
    }

    /// The server that the plugin talks to.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The instance itself.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Position of an operation, of the subject's contract or of the plugin's own; `contract.name` is one of another contract.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn operation(&self, name: &str) -> Result<u32, CallError> {
        let operations = &self.plugin.manifest().operations;
        let (wanted, name) = name.split_once('.').unwrap_or((self.subject.contract, name));
        let fits = |contract: Option<&str>| contract.is_none() || contract == Some(wanted);
        let at = operations
            .iter()
            .position(|operation| operation.name == name && fits(operation.contract.as_deref()));
        let at = at.and_then(|at| u32::try_from(at).ok());
        at.ok_or_else(|| CallError::new(Code::Unimplemented, format!("the manifest has no operation {name}")))
    }

    /// Calls an operation and answers its output.
    ///
    /// # Errors
    /// What the plugin says; `deadline_exceeded` after 20 s.
    pub async fn call(&self, operation: &str, input: Value) -> Result<Value, CallError> {
        let reply = self.reply(operation, input, &[]).await?;
        serde_json::from_slice(reply.json()).map_err(|error| {
            CallError::new(Code::Internal, format!("the output of {operation} is not JSON: {error}"))
        })
    }

    /// Calls an operation with a raw attachment and answers all of its reply.
    ///
    /// # Errors
    /// As for [`Bench::call`].
    pub async fn reply(&self, operation: &str, input: Value, raw: &[u8]) -> Result<Reply, CallError> {
        let call =
            Call { raw: raw.to_vec().into(), ..Call::new(self.operation(operation)?, input.to_string()) };
        self.call_with(call).await
    }

    /// Makes a call.
    ///
    /// # Errors
    /// As for [`Bench::call`].
    pub async fn call_with(&self, call: Call) -> Result<Reply, CallError> {
        let late = |_| Err(CallError::new(Code::DeadlineExceeded, "no answer within 20 s"));
        timeout(PATIENCE, self.instance.call(call)).await.unwrap_or_else(late)
    }

    /// Opens a stream; nothing is granted yet.
    ///
    /// # Errors
    /// As for [`Bench::call`].
    pub async fn stream(&self, operation: &str, input: Value) -> Result<ItemStream, CallError> {
        let reply = self.reply(operation, input, &[]).await?;
        reply
            .stream
            .ok_or_else(|| CallError::new(Code::Internal, format!("{operation} answered without a stream")))
    }

    /// A name that no other case and no other run uses.
    pub fn unique(&self, prefix: &str) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        format!("{prefix}_{now:x}_{}", COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits until `try_it` succeeds; its last failure after `patience`.
    ///
    /// # Errors
    /// The last failure.
    pub async fn eventually<F>(&self, patience: Duration, mut try_it: impl FnMut() -> F) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        let begun = tokio::time::Instant::now();
        loop {
            match try_it().await {
                Err(Failure::Wrong(_)) if begun.elapsed() < patience => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                outcome => return outcome,
            }
        }
    }
}

/// The next item of a stream as JSON; `None` is the end.
///
/// # Errors
/// What the plugin ended the stream with; nothing came within 20 s.
pub async fn next_item(stream: &mut ItemStream) -> Result<Option<Value>, Failure> {
    match timeout(PATIENCE, stream.next()).await {
        Err(_) => Err("no item within 20 s".into()),
        Ok(None) => Ok(None),
        Ok(Some(Err(error))) => Err(error.into()),
        Ok(Some(Ok(item))) => serde_json::from_slice(item.json())
            .map(Some)
            .map_err(|error| format!("an item is not JSON: {error}").into()),
    }
}

/// A stream sends as many items as were granted, and not one more.
///
/// # Errors
/// It does not. The stream must hold at least 6 items.
pub async fn expect_back_pressure(mut stream: ItemStream) -> Outcome {
    let silent = Duration::from_millis(150);
    if timeout(silent, stream.next()).await.is_ok() {
        return Err("an item (or the end) came although nothing was granted".into());
    }
    for granted in [1, 3] {
        stream.grant(granted);
        for _ in 0..granted {
            next_item(&mut stream).await?.ok_or("the stream ended early")?;
        }
        if timeout(silent, stream.next()).await.is_ok() {
            return Err(format!("more came than the {granted} items that were granted").into());
        }
    }
    Ok(())
}

/// The call failed with this code; answers the error.
///
/// # Errors
/// It did not.
pub fn expect_code<T: Debug>(result: Result<T, CallError>, code: Code) -> Result<CallError, Failure> {
    match result {
        Ok(output) => Err(format!("expected the error {code}, got the answer {output:?}").into()),
        Err(error) if error.code == code => Ok(error),
        Err(error) => Err(format!("expected the error {code}, got {error} {:?}", error.causes).into()),
    }
}

/// Both are equal.
///
/// # Errors
/// They are not.
pub fn expect_eq<T: Debug + PartialEq>(what: &str, got: &T, expected: &T) -> Outcome {
    if got == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {got:?}").into()) }
}
