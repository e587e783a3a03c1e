//! The policies in force, as they are shown.

use super::{Bulkhead, Stack};
use crate::config::units::Span;
use serde_json::{Value, json};
use std::time::Duration;

impl Stack {
    /// What protects the operation; null where a policy is off. What is beside the instance's own is under `own`.
    pub fn shown(&self) -> Value {
        let time = |time: Option<Duration>| time.map(Span);
        let limit = |bulkhead: &Bulkhead| (bulkhead.limit() < usize::MAX).then(|| bulkhead.limit());
        json!({
            "rate_limit": self.instance.rate.as_ref().map(|rate| rate.settings()),
            "tenant_rate_limit": self.instance.tenants.as_ref().map(|rates| rates.settings()),
            "bulkhead": limit(&self.instance.bulkhead),
            "own": {
                "rate_limit": self.rate.as_ref().map(|rate| rate.settings()),
                "bulkhead": self.bulkhead.as_ref().and_then(limit),
                "breaker": self.own_breaker().is_some(),
            },
            "deadline": time(self.deadline.usual()),
            "retry": self.retry.as_ref().map(|retry| retry.settings()),
            "breaker": self.breaker.as_ref().map(|breaker| breaker.settings()),
            "attempt_timeout": time(self.attempt_timeout.usual()),
            "coalesce": self.coalesce,
        })
    }
}
