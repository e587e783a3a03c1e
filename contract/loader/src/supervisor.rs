//! An instance that is made again after a panic has spoilt it.

use crate::instance::{Instance, create};
use crate::{Call, CallError, CallFuture, Crash, HostServices, Level, Plugin};
use arc_swap::ArcSwap;
use chassis_abi::Code;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// An instance that is made again, with back-off, after a panic has poisoned it, or when it cannot be made at first for a
/// reason that may pass. Meanwhile its calls fail with a retryable `unavailable` that says why.
pub struct Supervised {
    shared: Arc<Shared>,
}

impl Supervised {
    /// Makes the instance. The runtime of `services` must have its timer enabled.
    ///
    /// # Errors
    /// `invalid_argument`, when the plugin refuses the configuration: trying again would not help. After any other error it is
    /// tried again in the background, see [`Supervised::down`].
    pub fn new(
        plugin: Arc<Plugin>,
        name: &str,
        config: Value,
        services: Arc<dyn HostServices>,
    ) -> Result<Self, CallError> {
        let shared = Arc::new(Shared {
            plugin,
            name: name.to_owned(),
            config,
            services,
            current: ArcSwap::from_pointee(State::Down(CallError::unavailable("the instance is being made"))),
            recreations: AtomicU64::new(0),
            backoff: Mutex::new(Backoff::default()),
        });
        match shared.make() {
            Ok(instance) => shared.install(instance),
            Err(error) if error.code == Code::InvalidArgument => return Err(error),
            Err(error) => shared.is_down(&error, Crash::Create),
        }
        Ok(Self { shared })
    }

    /// Begins a call on the instance of now.
    #[inline]
    pub fn call(&self, call: Call) -> CallFuture {
        match &**self.shared.current.load() {
            State::Up(instance) => instance.call(call),
            State::Down(error) => CallFuture::refused(error.clone()),
        }
    }

    /// Why calls are refused at present, if they are.
    pub fn down(&self) -> Option<CallError> {
        match &**self.shared.current.load() {
            State::Up(_) => None,
            State::Down(error) => Some(error.clone()),
        }
    }

    /// The plugin it is made of.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.shared.plugin
    }

    /// The plugin's [`Plugin::generation`].
    pub fn generation(&self) -> u64 {
        self.shared.plugin.generation()
    }

    /// How often the instance was made again.
    pub fn recreations(&self) -> u64 {
        self.shared.recreations.load(Ordering::Relaxed)
    }

    /// Closes the instance for good. Wait for calls under way first.
    ///
    /// # Errors
    /// What the plugin says; the instance is closed all the same.
    pub async fn close(&self) -> Result<(), CallError> {
        let closed = State::Down(CallError::new(Code::Unavailable, "the instance is closed"));
        let old = {
            let mut backoff = self.shared.backoff();
            backoff.closed = true;
            self.shared.current.swap(Arc::new(closed))
        };
        match &*old {
            State::Up(instance) => instance.close().await,
            State::Down(_) => Ok(()),
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.shared.backoff().closed = true;
    }
}

struct Shared {
    plugin: Arc<Plugin>,
    name: String,
    config: Value,
    services: Arc<dyn HostServices>,
    current: ArcSwap<State>,
    recreations: AtomicU64,
    backoff: Mutex<Backoff>,
}

enum State {
    Up(Instance),
    Down(CallError),
}

/// 100 ms, doubling to 30 s; from the beginning again when an instance lived longer than that.
#[derive(Default)]
struct Backoff {
    tries: u32,
    up_since: Option<Instant>,
    closed: bool,
}

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

impl Backoff {
    fn next(&mut self) -> Duration {
        if self.up_since.take().is_some_and(|since| since.elapsed() > LONGEST) {
            self.tries = 0;
        }
        let wait = FIRST.saturating_mul(1 << self.tries.min(16)).min(LONGEST);
        self.tries += 1;
        wait
    }
}

impl Shared {
    fn backoff(&self) -> MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self) -> Result<Instance, CallError> {
        create(&self.plugin, &self.name, &self.config, Arc::clone(&self.services))
    }

    fn install(self: &Arc<Self>, instance: Instance) {
        let this = Arc::downgrade(self);
        instance.inner.on_poison(move |error| {
            if let Some(this) = this.upgrade() {
                this.is_down(error, Crash::Panic);
            }
        });
        let mut backoff = self.backoff();
        if !backoff.closed {
            backoff.up_since = Some(Instant::now());
            self.current.store(Arc::new(State::Up(instance)));
        }
    }

    /// Refuses calls, and sees to it that the instance is made again.
    fn is_down(self: &Arc<Self>, reason: &CallError, cause: Crash) {
        let wait = {
            let mut backoff = self.backoff();
            if backoff.closed {
                return;
            }
            let wait = backoff.next();
            let down = CallError {
                causes: std::iter::once(reason.to_string()).chain(reason.causes.iter().cloned()).collect(),
                retry_after: Some(wait),
                ..CallError::unavailable("the instance failed and is being made again")
            };
            self.current.store(Arc::new(State::Down(down)));
            wait
        };
        let fields =
            json!({ "instance": self.name, "reason": reason.message, "wait_ms": wait.as_millis() as u64 });
        self.services.crashed(cause);
        self.services.log(Level::Error, "instance failed, will be made again", Some(fields));
        self.services.runtime().spawn(make_again(Arc::downgrade(self), wait));
    }
}

async fn make_again(shared: Weak<Shared>, wait: Duration) {
    tokio::time::sleep(wait).await;
    let Some(shared) = shared.upgrade() else { return };
    if shared.backoff().closed {
        return;
    }
    let maker = Arc::clone(&shared);
    // `create` may take a while: it opens files and starts a thread.
    match tokio::task::spawn_blocking(move || maker.make()).await {
        Ok(Ok(instance)) => {
            shared.recreations.fetch_add(1, Ordering::Relaxed);
            shared.services.log(Level::Info, "instance made again", Some(json!({ "instance": shared.name })));
            shared.install(instance);
        }
        Ok(Err(error)) => shared.is_down(&error, Crash::Create),
        Err(_) => {}
    }
}
