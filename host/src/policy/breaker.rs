//! Spares a backend that is down, and tells its callers at once. Closed, open and half-open; every way from one to another goes through
//! [`Breaker::turn`], and none of the three lasts for ever: an open one is half-open after its time, a half-open one is decided after its.

use super::meters::Meters;
use super::window::Window;
use crate::config::policy::BreakerSettings;
use crate::error::CallFailure;
use chassis_abi::Code;
use serde::Serialize;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Watches how calls end.
#[derive(Debug)]
pub struct Breaker {
    name: Arc<str>,
    settings: BreakerSettings,
    /// The state in its lowest bits, above it how often it turned: what a call began in is known again by it.
    word: AtomicU64,
    consecutive: AtomicU32,
    calls: Window,
    failures: Window,
    inner: Mutex<Inner>,
    meters: Meters,
}

/// How a breaker stands. The numbers are those of `chassis_breaker_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All calls go through.
    Closed = 0,
    /// A few may find out whether the backend is back.
    HalfOpen = 1,
    /// None goes through.
    Open = 2,
}

/// Leave to send. Dropped without a verdict, it has none: a probe gives its place back.
#[derive(Debug)]
#[must_use = "dropping it says that nothing is known of the backend"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    word: u64,
    begun: Instant,
    reported: bool,
}

/// A breaker, as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// How it stands.
    pub state: State,
    /// How long it will yet be open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The failure that opened it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

#[derive(Debug)]
struct Inner {
    /// When it may be half-open, or was.
    at: Instant,
    /// How often in a row it opened.
    openings: u32,
    /// Probes that are out.
    out: u32,
    /// Probes that succeeded.
    successes: u32,
    cause: Option<String>,
}

impl Breaker {
    /// A closed one.
    pub fn new(name: Arc<str>, settings: BreakerSettings, meters: Meters, now: Instant) -> Self {
        Self {
            name,
            settings,
            word: AtomicU64::new(State::Closed as u64),
            consecutive: AtomicU32::new(0),
            calls: Window::new(settings.window.0, now),
            failures: Window::new(settings.window.0, now),
            inner: Mutex::new(Inner { at: now, openings: 0, out: 0, successes: 0, cause: None }),
            meters,
        }
    }

    /// Whose it is: the instance, or `instance.operation`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it keeps to.
    pub fn settings(&self) -> BreakerSettings {
        self.settings
    }

    /// Asks to send, now.
    pub fn enter(&self, now: Instant) -> Result<Permit<'_>, CallFailure> {
        let word = self.word.load(Ordering::Acquire);
        match state(word) {
            State::Closed => Ok(Permit { breaker: self, word, begun: now, reported: false }),
            _ => self.enter_late(now),
        }
    }

    /// Whether a call would be refused now.
    pub fn is_open(&self, now: Instant) -> bool {
        state(self.word.load(Ordering::Acquire)) == State::Open && self.lock().at > now
    }

    /// How it stands now.
    pub fn shown(&self, now: Instant) -> Shown {
        let mut inner = self.lock();
        let state = self.settle(&mut inner, now);
        let left = (state == State::Open).then(|| inner.at.saturating_duration_since(now));
        let cause = if state == State::Closed { None } else { inner.cause.clone() };
        Shown { state, retry_after_ms: left.map(|left| left.as_millis() as u64), cause }
    }

    #[cold]
    fn enter_late(&self, now: Instant) -> Result<Permit<'_>, CallFailure> {
        let mut inner = self.lock();
        let state = self.settle(&mut inner, now);
        match state {
            State::HalfOpen if inner.out + inner.successes < self.settings.probes => inner.out += 1,
            State::HalfOpen => return Err(self.refusal(&inner, "is being probed", BUSY)),
            State::Open => {
                return Err(self.refusal(&inner, "is open", inner.at.saturating_duration_since(now)));
            }
            State::Closed => {}
        }
        let word = self.word.load(Ordering::Acquire);
        Ok(Permit { breaker: self, word, begun: now, reported: false })
    }

    /// What time alone changes.
    fn settle(&self, inner: &mut Inner, now: Instant) -> State {
        match state(self.word.load(Ordering::Acquire)) {
            State::Open if now >= inner.at => {
                inner.at = now;
                self.turn(inner, State::HalfOpen)
            }
            State::HalfOpen if now >= inner.at + self.settings.half_open.0 => {
                if inner.out > 0 {
                    // Who was asked has not answered for so long: that is no backend to send more to.
                    self.open(inner, now, None)
                } else if inner.successes > 0 {
                    // Few calls come, and all that came went well.
                    self.close(inner)
                } else {
                    // Nothing was found out, as nobody asked or all went away.
                    inner.at = now;
                    State::HalfOpen
                }
            }
            state => state,
        }
    }

    fn open(&self, inner: &mut Inner, now: Instant, cause: Option<String>) -> State {
        let BreakerSettings { open, longest, .. } = self.settings;
        let most = open.0.saturating_mul(1 << inner.openings.min(16)).min(longest.0);
        // Up to a fifth less, so that many hosts do not all come back at once.
        inner.at = now + most.mul_f64(1.0 - fastrand::f64() / 5.0);
        inner.openings += 1;
        inner.cause = cause.or(inner.cause.take());
        self.turn(inner, State::Open)
    }

    fn close(&self, inner: &mut Inner) -> State {
        inner.openings = 0;
        // What was counted before it opened says nothing of what is now.
        self.calls.clear();
        self.failures.clear();
        self.turn(inner, State::Closed)
    }

    fn turn(&self, inner: &mut Inner, to: State) -> State {
        (inner.out, inner.successes) = (0, 0);
        self.consecutive.store(0, Ordering::Relaxed);
        let turns = (self.word.load(Ordering::Relaxed) >> STATE_BITS) + 1;
        self.word.store(turns << STATE_BITS | to as u64, Ordering::Release);
        self.meters.turned(to);
        let (instance, cause) = (&*self.name, inner.cause.as_deref().unwrap_or_default());
        match to {
            State::Open => tracing::warn!(instance, cause, "breaker open: calls are refused"),
            State::HalfOpen => tracing::info!(instance, "breaker half-open: a few calls go through"),
            State::Closed => tracing::info!(instance, "breaker closed: calls go through"),
        }
        to
    }

    fn good(&self, permit: &Permit<'_>) {
        if state(permit.word) == State::Closed {
            if permit.word != self.word.load(Ordering::Relaxed) {
                return;
            }
            if self.consecutive.load(Ordering::Relaxed) != 0 {
                self.consecutive.store(0, Ordering::Relaxed);
            }
            // As of its beginning, which spares another look at the clock.
            return self.calls.add(self.calls.tick(permit.begun));
        }
        let mut inner = self.lock();
        if permit.word == self.word.load(Ordering::Acquire) {
            inner.out -= 1;
            inner.successes += 1;
            if inner.successes >= self.settings.successes {
                self.close(&mut inner);
            }
        }
    }

    #[cold]
    fn bad(&self, permit: &Permit<'_>, failure: &CallFailure) {
        let now = Instant::now();
        let mut inner = self.lock();
        // What began before it last turned tells of a time that is over.
        if permit.word != self.word.load(Ordering::Acquire) {
            return;
        }
        if state(permit.word) == State::Closed {
            let BreakerSettings { consecutive, percent, at_least, .. } = self.settings;
            let tick = self.calls.tick(now);
            self.calls.add(tick);
            self.failures.add(tick);
            let in_a_row = self.consecutive.fetch_add(1, Ordering::Relaxed) + 1;
            let (calls, failures) = (self.calls.sum(tick), self.failures.sum(tick));
            let share = calls >= u64::from(at_least) && failures * 100 >= calls * u64::from(percent);
            if in_a_row < consecutive && !share {
                return;
            }
        }
        self.open(&mut inner, now, Some(failure.to_string()));
    }

    #[cold]
    fn neither(&self, permit: &Permit<'_>) {
        let mut inner = self.lock();
        if permit.word == self.word.load(Ordering::Acquire) {
            inner.out -= 1;
        }
    }

    fn refusal(&self, inner: &Inner, how: &str, wait: Duration) -> CallFailure {
        let message = format!("the breaker of `{}` {how}: try again in {} ms", self.name, wait.as_millis());
        let mut failure = CallFailure::refused("breaker", Code::Unavailable, message, wait);
        failure.error.causes.extend(inner.cause.clone());
        failure
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Says how the call ended. `fair` tells whether it was given its usual time: a caller in a hurry is no illness of the backend.
    pub fn report<T>(mut self, result: &Result<T, CallFailure>, fair: bool) {
        let breaker = self.breaker;
        match result {
            Ok(_) => breaker.good(&self),
            Err(failure) if is_bad(failure, fair) => breaker.bad(&self, failure),
            Err(_) => return,
        }
        self.reported = true;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.reported && state(self.word) == State::HalfOpen {
            self.breaker.neither(self);
        }
    }
}

/// Whether a failure is the backend's own fault. Of any other (the caller was wrong, or lost a race) nothing follows.
fn is_bad(failure: &CallFailure, fair: bool) -> bool {
    match failure.code() {
        Code::DeadlineExceeded => fair,
        Code::Unavailable | Code::ResourceExhausted | Code::Internal | Code::Unknown | Code::DataLoss => true,
        _ => false,
    }
}

/// When to come back while probes are out: they are about to end.
const BUSY: Duration = Duration::from_millis(100);
const STATE_BITS: u32 = 2;

fn state(word: u64) -> State {
    match word & ((1 << STATE_BITS) - 1) {
        0 => State::Closed,
        1 => State::HalfOpen,
        _ => State::Open,
    }
}
