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
    let (state, doubt) = (Arc::new(watch::Sender::new(State::Connecting)), Arc::new(Notify::new()));
    let patience = Duration::from_millis(config.connect_timeout_ms);
    let keeper =
        Keeper { client: config.client()?, patience, context: context.clone(), doubt: doubt.clone() };
    let told = state.clone();
    context.spawn(async move { keeper.run(&told).await });
    Ok(Connection { state, doubt })
}

/// The connection as calls see it.
pub struct Connection {
    state: Arc<watch::Sender<State>>,
    doubt: Arc<Notify>,
}

enum State {
    Connecting,
    /// The connections are numbered.
    Up(MultiplexedConnection, u64),
    Down(Error),
}

impl Connection {
    /// The connection, or why there is none. Waits while an attempt is under way that did not fail before.
    pub async fn get(&self) -> Result<(MultiplexedConnection, Waiting<'_>), Error> {
        if let Some(known) = self.known(&self.state.borrow()) {
            return known;
        }
        let mut state = self.state.subscribe();
        let state = state.wait_for(|state| !matches!(state, State::Connecting)).await.ok();
        let known = state.and_then(|state| self.known(&state));
        known.unwrap_or_else(|| Err(Error::unavailable("the instance is closed")))
    }

    fn known(&self, state: &State) -> Option<Result<(MultiplexedConnection, Waiting<'_>), Error>> {
        match state {
            State::Connecting => None,
            State::Up(connection, number) => {
                Some(Ok((connection.clone(), Waiting { connection: self, number: *number })))
            }
            State::Down(error) => Some(Err(error.clone())),
        }
    }
}

/// A call that waits for its answer. Dropped without one, it raises doubt about the connection.
pub struct Waiting<'a> {
    connection: &'a Connection,
    number: u64,
}

impl Waiting<'_> {
    /// Looks at the answer: after the first sign that the connection is lost, no call uses it any more.
    pub fn answered<T>(self, answer: RedisResult<T>) -> RedisResult<T> {
        match &answer {
            Ok(_) => std::mem::forget(self),
            Err(error) if error.is_unrecoverable_error() => {
                self.connection.state.send_if_modified(|state| match state {
                    State::Up(_, number) if *number == self.number => {
                        *state = State::Connecting;
                        true
                    }
                    _ => false,
                });
            }
            Err(_) => {}
        }
        answer
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.connection.doubt.notify_one();
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
    async fn run(self, state: &watch::Sender<State>) {
        let (mut number, mut wait) = (0, FIRST_WAIT);
        loop {
            match self.connect().await {
                Ok((connection, lost)) => {
                    (number, wait) = (number + 1, FIRST_WAIT);
                    self.context.log(Level::Info, "connected to redis", []);
                    state.send_replace(State::Up(connection.clone(), number));
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
