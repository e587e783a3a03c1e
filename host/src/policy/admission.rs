//! So many calls a second, of all callers and of each tenant. Off unless it is configured.

use crate::config::policy::{RateSettings, TenantRateSettings};
use crate::error::CallFailure;
use chassis_abi::Code;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A token bucket, kept as the one moment at which it will be full again (GCRA): one number, and no task that fills it.
#[derive(Debug)]
pub struct Rate {
    begun: Instant,
    settings: RateSettings,
    shape: Shape,
    /// When the bucket is full, in nanoseconds since `begun`.
    full_at: AtomicU64,
}

/// A token bucket for each tenant. A caller that names no tenant is a tenant too.
#[derive(Debug)]
pub struct TenantRates {
    begun: Instant,
    settings: TenantRateSettings,
    shape: Shape,
    table: Mutex<Table>,
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    per_second: f64,
    /// Time in which one token comes.
    token: u64,
    /// Time in which a whole bucket comes.
    bucket: u64,
}

#[derive(Debug, Default)]
struct Table {
    full_at: HashMap<Arc<str>, u64>,
    /// The bucket of all who find no room.
    others: u64,
    /// When it is worth looking again for tenants to forget.
    sweep_at: u64,
}

impl Rate {
    /// A full bucket.
    pub fn new(settings: RateSettings, now: Instant) -> Self {
        Self {
            begun: now,
            settings,
            shape: Shape::new(settings.per_second, settings.burst),
            full_at: AtomicU64::new(0),
        }
    }

    /// What it keeps to.
    pub fn settings(&self) -> RateSettings {
        self.settings
    }

    /// Takes a token, or refuses.
    pub fn admit(&self, now: Instant) -> Result<(), CallFailure> {
        let now = since(self.begun, now);
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let next = self.shape.take(full_at, now).map_err(|wait| self.shape.refusal(None, wait))?;
            match self.full_at.compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => full_at = other,
            }
        }
    }
}

impl TenantRates {
    /// Full buckets.
    pub fn new(settings: TenantRateSettings, now: Instant) -> Self {
        Self {
            begun: now,
            settings,
            shape: Shape::new(settings.per_second, settings.burst),
            table: Mutex::default(),
        }
    }

    /// Takes a token of the tenant's, or refuses.
    pub fn admit(&self, tenant: Option<&Arc<str>>, now: Instant) -> Result<(), CallFailure> {
        let now = since(self.begun, now);
        let name = tenant.map_or("", |tenant| tenant);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let known = table.full_at.get(name).copied();
        if known.is_none() && table.full_at.len() >= self.settings.tenants && now >= table.sweep_at {
            // A full bucket is like one that was never touched. Not looked for at each call: all may be in use.
            table.full_at.retain(|_, full_at| *full_at > now);
            table.sweep_at = now.saturating_add(self.shape.token);
        }
        let room = known.is_some() || table.full_at.len() < self.settings.tenants;
        let full_at = if room { known.unwrap_or(0) } else { table.others };
        let next = self.shape.take(full_at, now).map_err(|wait| self.shape.refusal(Some(name), wait))?;
        match (room, table.full_at.get_mut(name)) {
            (_, Some(full_at)) => *full_at = next,
            (true, None) => {
                let name = tenant.cloned().unwrap_or_else(|| Arc::from(""));
                table.full_at.insert(name, next);
            }
            (false, None) => table.others = next,
        }
        Ok(())
    }

    /// What it keeps to.
    pub fn settings(&self) -> TenantRateSettings {
        self.settings
    }

    /// Tenants that are known at present.
    pub fn known(&self) -> usize {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).full_at.len()
    }
}

impl Shape {
    fn new(per_second: f64, burst: Option<u32>) -> Self {
        let burst = burst.map_or_else(|| per_second.ceil().max(1.0), f64::from);
        let token = 1e9 / per_second;
        Self { per_second, token: token as u64, bucket: (token * burst) as u64 }
    }

    /// When the bucket is full once a token is taken; the error is how long to wait for one.
    fn take(&self, full_at: u64, now: u64) -> Result<u64, Duration> {
        let next = full_at.max(now).saturating_add(self.token);
        match next.checked_sub(now.saturating_add(self.bucket)) {
            None | Some(0) => Ok(next),
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }

    #[cold]
    fn refusal(&self, tenant: Option<&str>, wait: Duration) -> CallFailure {
        let whose = match tenant {
            None => String::new(),
            Some("") => " without a tenant".to_owned(),
            Some(tenant) => format!(" of the tenant `{tenant}`"),
        };
        let (rate, ms) = (self.per_second, wait.as_millis() + 1);
        let message = format!("more than {rate} calls a second{whose}: try again in {ms} ms");
        CallFailure::refused("admission", Code::ResourceExhausted, message, wait)
    }
}

fn since(begun: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(begun).as_nanos()).unwrap_or(u64::MAX)
}
