//! One multiplexed connection, and the task that keeps it.

use crate::config::Config;
use crate::error;
use chassis_guest::tokio::select;
use chassis_guest::tokio::sync::{Notify, oneshot, watch};
use chassis_guest::tokio::time::{sleep, timeout};
use chassis_guest::{Context, Error, HostIo, Level};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, RedisResult, cmd};
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// After a failure, the next attempt to connect waits so long at first, twice as long each time, and so long at last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// So many commands may wait to be written before a call waits to hand its own over.
const BUFFER: usize = 1024;

/// Starts a task that connects, and connects again whenever the connection is lost.
pub fn keep(config: &Config, context: Context) -> Result<Connection, Error> {
    let (state, seen) = watch::channel(State::Connecting);
    let doubt = Arc::new(Notify::new());
    let patience = Duration::from_millis(config.connect_timeout_ms);
    let keeper =
        Keeper { client: config.client()?, patience, context: context.clone(), doubt: doubt.clone() };
    context.spawn(async move { keeper.run(state).await });
    Ok(Connection { state: seen, doubt })
}

/// The connection as calls see it.
pub struct Connection {
    state: watch::Receiver<State>,
    doubt: Arc<Notify>,
}

enum State {
    Connecting,
    Up(MultiplexedConnection),
    Down(Error),
}

impl State {
    fn known(&self) -> Option<Result<MultiplexedConnection, Error>> {
        match self {
            Self::Connecting => None,
            Self::Up(connection) => Some(Ok(connection.clone())),
            Self::Down(error) => Some(Err(error.clone())),
        }
    }
}

impl Connection {
    /// The connection, or why there is none. Waits while an attempt is under way that did not fail before.
    pub async fn get(&self) -> Result<MultiplexedConnection, Error> {
        if let Some(known) = self.state.borrow().known() {
            return known;
        }
        let mut state = self.state.clone();
        let known = state.wait_for(|state| !matches!(state, State::Connecting)).await.ok();
        known
            .and_then(|state| state.known())
            .unwrap_or_else(|| Err(Error::unavailable("the instance is closed")))
    }

    /// To be held while a call waits for its answer: a call that gets none raises doubt about the connection.
    pub fn waiting(&self) -> Waiting<'_> {
        Waiting(&self.doubt)
    }
}

/// A call without an answer yet.
pub struct Waiting<'a>(&'a Notify);

impl Waiting<'_> {
    /// The answer came.
    pub fn answered(self) {
        std::mem::forget(self);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Ready when a connection is lost; dropping it ends the connection.
type Lost = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Keeper {
    client: Client,
    patience: Duration,
    context: Context,
    doubt: Arc<Notify>,
}

impl Keeper {
    async fn run(self, state: watch::Sender<State>) {
        let mut wait = FIRST_WAIT;
        loop {
            match self.connect().await {
                Ok((connection, lost)) => {
                    wait = FIRST_WAIT;
                    self.context.log(Level::Info, "connected to redis", []);
                    state.send_replace(State::Up(connection.clone()));
                    self.hold(connection, lost).await;
                    self.context.log(Level::Warn, "lost the connection to redis", []);
                    state.send_replace(State::Connecting);
                }
                Err(error) => {
                    if wait == FIRST_WAIT {
                        let why = error.message().to_owned().into();
                        self.context.log(Level::Warn, "cannot connect to redis", [("error", why)]);
                    }
                    state.send_replace(State::Down(error));
                    sleep(wait).await;
                    wait = LONGEST_WAIT.min(wait * 2);
                }
            }
        }
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, Lost), Error> {
        match timeout(self.patience, self.dial()).await {
            Ok(dialled) => dialled.map_err(|error| error::connecting(&error)),
            Err(_) => Err(Error::unavailable("redis did not answer the attempt to connect in time")),
        }
    }

    /// On the host's event loop where it lends one, so that a call crosses no thread; otherwise on the instance's own.
    async fn dial(&self) -> RedisResult<(MultiplexedConnection, Lost)> {
        // The host has deadlines: a timer of the driver's own for each call would be waste.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(BUFFER);
        if let Some(io) = self.lent() {
            let settings = self.client.get_connection_info().redis_settings();
            let (connection, driver) =
                MultiplexedConnection::new_with_config(settings, io, config.clone()).await?;
            let (ending, ended) = oneshot::channel::<()>();
            let task = self.context.host_spawn(async move {
                driver.await;
                drop(ending);
            });
            if let Some(task) = task {
                let lost = async move {
                    let _task = task;
                    let _ = ended.await;
                };
                return Ok((connection, Box::pin(lost)));
            }
        }
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok((connection, Box::pin(pending())))
    }

    fn lent(&self) -> Option<HostIo> {
        match self.client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, port) if host.contains(':') => {
                self.context.host_connect(&format!("[{host}]:{port}"))
            }
            ConnectionAddr::Tcp(host, port) => self.context.host_connect(&format!("{host}:{port}")),
            ConnectionAddr::Unix(path) => self.context.host_connect(path.to_str()?),
            _ => None,
        }
    }

    /// Returns when the connection is lost. A call that got no answer may have met a peer that is gone without a word: then the
    /// server is asked for a sign of life.
    async fn hold(&self, mut connection: MultiplexedConnection, mut lost: Lost) {
        loop {
            select! {
                () = &mut lost => return,
                () = self.doubt.notified() => {}
            }
            let answer = timeout(self.patience, connection.send_packed_command(&cmd("PING"))).await;
            if !matches!(answer, Ok(Ok(_))) {
                return;
            }
        }
    }
}
