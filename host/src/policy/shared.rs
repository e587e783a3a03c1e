//! What all operations of an instance share.

use super::{Breaker, Budget, Bulkhead, DEFAULT_BULKHEAD, Meters, Rate, TenantRates};
use crate::config::PolicySettings;
use crate::config::policy::Switch;
use crate::error::CallFailure;
use crate::request::Context;
use std::sync::Arc;
use tokio::time::Instant;

/// The policies of an instance as a whole.
#[derive(Debug)]
pub struct Shared {
    /// The instance.
    pub name: Arc<str>,
    /// Counts its calls in flight, even where there is no limit.
    pub bulkhead: Bulkhead,
    /// How much its operations may retry.
    pub budget: Arc<Budget>,
    /// Whether its backend is down.
    pub breaker: Option<Arc<Breaker>>,
    pub(super) meters: Meters,
    pub(super) rate: Option<Rate>,
    pub(super) tenants: Option<TenantRates>,
}

impl Shared {
    /// As the settings want it.
    pub fn new(name: Arc<str>, settings: &PolicySettings, meters: Meters, now: Instant) -> Arc<Self> {
        let retry = Switch::on(&settings.retry).copied().unwrap_or_default();
        let breaker = match settings.breaker {
            Some(Switch::Off) => None,
            Some(Switch::On(settings)) => Some(settings),
            None => Some(Default::default()),
        };
        let breaker =
            breaker.map(|settings| Arc::new(Breaker::new(name.clone(), settings, meters.clone(), now)));
        Arc::new(Self {
            bulkhead: Bulkhead::new(match settings.bulkhead {
                Some(Switch::Off) => usize::MAX,
                Some(Switch::On(count)) => count.0,
                None => DEFAULT_BULKHEAD,
            }),
            budget: Arc::new(Budget::new(retry.budget_percent, retry.budget_floor, now)),
            breaker,
            rate: Switch::on(&settings.rate_limit).map(|rate| Rate::new(*rate, now)),
            tenants: Switch::on(&settings.tenant_rate_limit).map(|rate| TenantRates::new(*rate, now)),
            name,
            meters,
        })
    }

    /// Lets a call in, or refuses. The tenant first: who has had enough takes nothing from the others.
    pub(super) fn admit(&self, context: &Context, now: Instant) -> Result<(), CallFailure> {
        if let Some(tenants) = &self.tenants {
            tenants.admit(context.tenant.as_ref(), now)?;
        }
        self.rate.as_ref().map_or(Ok(()), |rate| rate.admit(now))
    }
}
