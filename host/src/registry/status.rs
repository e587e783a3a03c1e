//! How an instance is: looked at in the background, off the way of calls.

use super::instance::scrubbed;
use super::time::Moment;
use super::{Instance, Operation};
use crate::error::CallError;
use crate::request::Reply;
use bytes::Bytes;
use chassis_abi::Code;
use chassis_loader::Call;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How an instance was at the last look.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The word for it.
    pub state: State,
    /// Version of its server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How long its server took to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Since when it is in this state.
    pub since: Moment,
    /// When it was looked at.
    pub checked: Moment,
    /// What was last wrong with it; stays after it is well again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// Its connections, where it has a pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
}

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not looked at yet.
    Starting,
    /// Its server answers.
    Ok,
    /// Its server cannot be reached now; it comes back by itself.
    Unavailable,
    /// It does not work, and will not by waiting: wrong credentials, a defect.
    Failed,
}

/// What was wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastError {
    /// Canonical code.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What led to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// When.
    pub at: Moment,
}

/// Connections of a plugin's pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Those in use.
    pub used: u64,
    /// Those that wait for use.
    pub idle: u64,
    /// The most there may be.
    pub max: u64,
    /// Calls that wait for one, where the driver tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
}

#[derive(Deserialize)]
struct Health {
    #[serde(default)]
    server_version: Option<String>,
    #[serde(default)]
    pool: Option<Pool>,
}

impl State {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ok => "ok",
            State::Unavailable => "unavailable",
            State::Failed => "failed",
        }
    }
}

impl Status {
    /// Before the first look.
    pub fn starting() -> Self {
        let now = Moment::now();
        Self {
            state: State::Starting,
            version: None,
            latency_ms: None,
            since: now,
            checked: now,
            last_error: None,
            pool: None,
        }
    }

    fn next(&self, found: Result<(Health, Duration), CallError>) -> Self {
        let now = Moment::now();
        let state = match &found {
            Ok(_) => State::Ok,
            Err(error) => state_of(error.code),
        };
        let since = if state == self.state { self.since } else { now };
        let (version, latency_ms, pool, last_error) = match found {
            Ok((health, took)) => {
                let latency = (took.as_secs_f64() * 1e6).round() / 1e3;
                (health.server_version, Some(latency), health.pool, self.last_error.clone())
            }
            Err(CallError { code, message, causes, .. }) => {
                let error = LastError { code: code.as_str(), message, causes, at: now };
                (self.version.clone(), None, None, Some(error))
            }
        };
        Self { state, version, latency_ms, since, checked: now, last_error, pool }
    }
}

impl Instance {
    /// Looks at it now. Policies and spans are for calls: a full bulkhead is no illness, and a look every few seconds no news.
    pub async fn check(&self, timeout: Duration) -> Arc<Status> {
        let before = self.status.load_full();
        let status = Arc::new(before.next(self.ask(timeout).await));
        self.status.store(status.clone());
        let metrics = self.telemetry.metrics();
        metrics.plugin_healthy(self.name()).set(if status.state == State::Ok { 1.0 } else { 0.0 });
        if let Some(pool) = &status.pool {
            metrics.pool(self.name(), pool.used + pool.idle, pool.idle, pool.max, pool.pending.unwrap_or(0));
        }
        if status.state != before.state {
            self.tell(&status);
        }
        status
    }

    async fn ask(&self, timeout: Duration) -> Result<(Health, Duration), CallError> {
        let Some((index, _)) = self.manifest().operation("health") else {
            return self
                .boundary()
                .down()
                .map_or(Ok((Health { server_version: None, pool: None }, Duration::ZERO)), Err);
        };
        let begun = Instant::now();
        let reply = self.look(index, "{}", timeout).await?;
        let took = begun.elapsed();
        let health = serde_json::from_slice(reply.json());
        health
            .map(|health| (health, took))
            .map_err(|_| CallError::new(Code::Internal, "the answer to `health` cannot be read"))
    }

    async fn look(
        &self,
        operation: u32,
        input: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Reply, CallError> {
        let call = tokio::time::timeout(timeout, self.boundary().call(Call::new(operation, input))).await;
        let reply = call.unwrap_or_else(|_| {
            let message = format!("no answer within {} ms", timeout.as_millis());
            Err(CallError::new(Code::DeadlineExceeded, message))
        });
        let mut reply = reply.map_err(|error| scrubbed(error, self.secrets()))?;
        reply.stream = None;
        Ok(reply)
    }

    fn tell(&self, status: &Status) {
        let (instance, state) = (self.name(), status.state.as_str());
        match (status.state, &status.last_error) {
            (State::Ok, _) => {
                tracing::info!(
                    instance,
                    state,
                    version = status.version,
                    latency_ms = status.latency_ms,
                    "instance is well"
                );
            }
            (_, Some(error)) => {
                let cause = error.causes.first();
                tracing::warn!(
                    instance,
                    state,
                    code = error.code,
                    error = error.message,
                    cause,
                    "instance is not well"
                );
            }
            _ => {}
        }
    }
}

impl Operation<'_> {
    /// Asks the plugin at once, past policies and spans: the host's own curiosity must not cost a caller his place, and is no call.
    pub async fn look(self, input: impl Into<Bytes>, timeout: Duration) -> Result<Reply, CallError> {
        self.instance().look(self.index(), input, timeout).await
    }
}

fn state_of(code: Code) -> State {
    match code {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Cancelled
        | Code::Aborted => State::Unavailable,
        _ => State::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn since_stands_while_the_state_does_and_an_error_is_remembered() {
        let mut first = Status::starting();
        let long_ago = Moment(UNIX_EPOCH);
        first.since = long_ago;
        let down = first.next(Err(CallError::unavailable("refused")));
        assert_eq!(down.state, State::Unavailable);
        assert!(down.since > long_ago);
        let mut down = down;
        down.since = long_ago;
        assert_eq!(down.next(Err(CallError::unavailable("still"))).since, long_ago);
        let health = Health { server_version: Some("7".into()), pool: None };
        let up = down.next(Ok((health, Duration::from_micros(1500))));
        assert_eq!((up.state, up.version.as_deref(), up.latency_ms), (State::Ok, Some("7"), Some(1.5)));
        assert_eq!(up.last_error.map(|error| error.message).as_deref(), Some("refused"));
        let document = r#"{"server_version": "x", "details": {}, "pool": {"used": 1, "idle": 2, "max": 3}}"#;
        let health: Health = serde_json::from_str(document).unwrap();
        assert_eq!(health.pool, Some(Pool { used: 1, idle: 2, max: 3, pending: None }));
        let wrong = first.next(Err(CallError::new(Code::Unauthenticated, "no")));
        assert_eq!(wrong.state, State::Failed);
    }
}
