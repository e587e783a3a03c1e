//! The connection as calls see it, and the task that keeps it.

use crate::config::Config;
use crate::leash::Leash;
use crate::link::{FAREWELL, Link};
use crate::{error, greeting};
use chassis_guest::tokio::select;
use chassis_guest::tokio::sync::{Notify, watch};
use chassis_guest::tokio::task::JoinHandle;
use chassis_guest::tokio::time::{sleep, timeout};
use chassis_guest::{Context, Error, Level};
use futures_util::StreamExt;
use lapin::uri::AMQPUri;
use lapin::{ConnectionProperties, Event};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// After a failure, the next attempt to connect waits so long at first, twice as long each time, and so long at last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How long the end of an instance waits for the connection's: for the broker's good-bye, and then for the driver's thread.
const LAST_WAIT: Duration = FAREWELL.saturating_mul(2);

/// Starts a task that connects, and connects again whenever the connection is lost.
pub fn keep(config: &Config, context: &Context) -> Result<Connection, Error> {
    let (state, seen) = watch::channel(State::Connecting);
    let patience = Duration::from_millis(config.connect_timeout_ms);
    let keeper = Keeper { uri: config.uri()?, patience, context: context.clone() };
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let task = context.spawn(async move { keeper.run(state, &stopped).await });
    Ok(Connection { state: seen, stop, task: Mutex::new(Some(task)) })
}

/// The connection as calls see it.
pub struct Connection {
    state: watch::Receiver<State>,
    stop: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

enum State {
    Connecting,
    Up(Arc<Link>),
    Down(Error),
}

impl State {
    fn known(&self) -> Option<Result<Arc<Link>, Error>> {
        match self {
            Self::Connecting => None,
            Self::Up(link) => Some(Ok(Arc::clone(link))),
            Self::Down(error) => Some(Err(error.clone())),
        }
    }
}

impl Connection {
    /// The connection, or why there is none. Waits while an attempt is under way that did not fail before.
    pub async fn link(&self) -> Result<Arc<Link>, Error> {
        self.wait(|state| !matches!(state, State::Connecting)).await
    }

    /// The connection, as soon as there is one.
    pub async fn up(&self) -> Result<Arc<Link>, Error> {
        self.wait(|state| matches!(state, State::Up(_))).await
    }

    /// Ends it for good, also an attempt that is under way.
    pub async fn close(&self) {
        self.stop.notify_one();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // What is not ended by then ends with the instance's thread.
            let _ = timeout(LAST_WAIT, task).await;
        }
    }

    async fn wait(&self, ready: impl Fn(&State) -> bool) -> Result<Arc<Link>, Error> {
        let mut state = self.state.clone();
        let known = state.wait_for(|state| ready(state)).await.ok().and_then(|state| state.known());
        known.unwrap_or_else(|| Err(Error::unavailable("the instance is closed")))
    }
}

/// Returns when the connection is lost.
async fn lost(link: &Link) {
    let mut events = Box::pin(link.connection.events_listener());
    // What happened before the listener was there is not told.
    while link.connection.status().connected() && !matches!(events.next().await, None | Some(Event::Error(_)))
    {
    }
}

struct Keeper {
    uri: AMQPUri,
    patience: Duration,
    context: Context,
}

/// How an attempt ended.
enum Attempt {
    Connected(Arc<Link>),
    Failed(Error),
    Stopped,
}

impl Keeper {
    async fn run(self, state: watch::Sender<State>, stop: &Notify) {
        let mut wait = FIRST_WAIT;
        let mut version = None;
        loop {
            match self.connect(&mut version, stop).await {
                Attempt::Connected(link) => {
                    wait = FIRST_WAIT;
                    self.context.log(Level::Info, "connected to rabbitmq", []);
                    state.send_replace(State::Up(Arc::clone(&link)));
                    select! {
                        () = lost(&link) => {}
                        () = stop.notified() => return link.close().await,
                    }
                    self.context.log(Level::Warn, "lost the connection to rabbitmq", []);
                    state.send_replace(State::Connecting);
                }
                Attempt::Failed(error) => {
                    if wait == FIRST_WAIT {
                        let why = error.message().to_owned().into();
                        self.context.log(Level::Warn, "cannot connect to rabbitmq", [("error", why)]);
                    }
                    state.send_replace(State::Down(error));
                    select! {
                        () = sleep(wait) => {}
                        () = stop.notified() => return,
                    }
                    wait = LONGEST_WAIT.min(wait * 2);
                }
                Attempt::Stopped => return,
            }
        }
    }

    /// One attempt. `version` is the broker's as long as there is no doubt that it is one.
    async fn connect(&self, version: &mut Option<String>, stop: &Notify) -> Attempt {
        let leash = Arc::new(Leash::default());
        let mut attempt = Box::pin(self.dial(version, &leash));
        let given_up = select! {
            connected = timeout(self.patience, &mut attempt) => match connected {
                Ok(Ok(link)) => return Attempt::Connected(Arc::new(link)),
                Ok(Err(error)) => return Attempt::Failed(error),
                Err(_) => {
                    Attempt::Failed(Error::unavailable("rabbitmq did not answer the attempt to connect in time"))
                }
            },
            () = stop.notified() => Attempt::Stopped,
        };
        leash.pull();
        // The driver's thread sees the end of its socket; what it holds is gone with it.
        let _ = timeout(FAREWELL, attempt).await;
        *version = None;
        given_up
    }

    async fn dial(&self, version: &mut Option<String>, leash: &Arc<Leash>) -> Result<Link, Error> {
        let version = match version {
            Some(version) => version,
            None => version.insert(greeting::version(&self.uri).await?),
        };
        let name = format!("chassis: {}", self.context.instance());
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = leash.connect(self.uri.clone(), properties).await;
        let connection = connection.map_err(|error| error::connecting(&error))?;
        Ok(Link::new(connection, version.clone(), Arc::clone(leash)))
    }
}
