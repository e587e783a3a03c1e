//! The settings of the policies: of an instance, and of single operations where they differ.

use super::units::Span;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// Protection of an instance, with exceptions for single operations. What is left out has its default; `"off"` switches a policy off.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicySettings {
    /// Calls a second, over all operations. Off unless configured.
    pub rate_limit: Option<Switch<RateSettings>>,
    /// Calls a second of each tenant, over all operations. Off unless configured.
    pub tenant_rate_limit: Option<Switch<TenantRateSettings>>,
    /// Calls in flight at the same time, over all operations.
    pub bulkhead: Option<Switch<Count>>,
    /// The longest that a call may take, with everything.
    pub deadline: Option<Switch<Span>>,
    /// What is tried again.
    pub retry: Option<Switch<RetrySettings>>,
    /// When a backend counts as down.
    pub breaker: Option<Switch<BreakerSettings>>,
    /// The longest that one try may take.
    pub attempt_timeout: Option<Switch<Span>>,
    /// What is gathered into batches.
    pub coalesce: Option<Switch<CoalesceSettings>>,
    /// Exceptions, by the operation's name. A rate limit or bulkhead of an operation stands beside the instance's, anything else
    /// in its place. A table stands alone: what it leaves out has its default, not the instance's value.
    pub operations: BTreeMap<String, PolicySettings>,
}

/// A policy that can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch<T> {
    /// `"off"`, or `false`.
    Off,
    /// With these settings.
    On(T),
}

impl<T: Serialize> Serialize for Switch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::On(settings) => settings.serialize(serializer),
        }
    }
}

/// A number, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub usize);

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `per_second`, or \"off\"")]
pub struct RateSettings {
    /// Calls a second, in the long run.
    pub per_second: f64,
    /// Calls at once, after a pause; those of one second if left out.
    pub burst: Option<u32>,
}

/// A token bucket for each tenant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `per_second`, or \"off\"")]
pub struct TenantRateSettings {
    /// Calls a second of one tenant, in the long run.
    pub per_second: f64,
    /// Calls of one tenant at once, after a pause; those of one second if left out.
    pub burst: Option<u32>,
    /// Tenants that are known at the same time; those beyond share one bucket.
    #[serde(default = "tenants")]
    pub tenants: usize,
}

/// What is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table, or \"off\"")]
pub struct RetrySettings {
    /// The most tries after the first one.
    pub retries: u32,
    /// The longest pause before the first retry; doubles with each. The pause itself is any part of it.
    pub first: Span,
    /// The longest pause before any retry.
    pub longest: Span,
    /// Retries for each hundred calls of the instance, over 10 s.
    pub budget_percent: u32,
    /// Retries a second that the instance may make however few calls it has.
    pub budget_floor: u32,
}

/// When a backend counts as down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table, or \"off\"")]
pub struct BreakerSettings {
    /// So many failures in a row open it.
    pub consecutive: u32,
    /// So many failures of a hundred calls open it.
    pub percent: u32,
    /// … if there were at least so many calls.
    pub at_least: u32,
    /// … in so long.
    pub window: Span,
    /// How long it is open at first; doubles each time.
    pub open: Span,
    /// The longest that it is open.
    pub longest: Span,
    /// Calls that may find out, half-open, whether the backend is back.
    pub probes: u32,
    /// So many of them that succeed close it.
    pub successes: u32,
    /// The longest that it is half-open.
    pub half_open: Span,
}

/// What is gathered into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table, or \"off\"")]
pub struct CoalesceSettings {
    /// Batches in flight at the same time. A call is gathered while there are so many.
    pub batches: usize,
    /// The most items of a batch.
    pub items: usize,
}

impl PolicySettings {
    /// Each setting that makes no sense: its field below this table, and what is wrong.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut wrong = |bad: bool, field: &str, message: &str| {
            if bad {
                found.push((field.to_owned(), message.to_owned()));
            }
        };
        if let Some(rate) = Switch::on(&self.rate_limit) {
            wrong(!is_rate(rate.per_second), "rate_limit.per_second", "must be more than 0");
            wrong(rate.burst == Some(0), "rate_limit.burst", "must be at least 1");
        }
        if let Some(rate) = Switch::on(&self.tenant_rate_limit) {
            wrong(!is_rate(rate.per_second), "tenant_rate_limit.per_second", "must be more than 0");
            wrong(rate.burst == Some(0), "tenant_rate_limit.burst", "must be at least 1");
            wrong(rate.tenants == 0, "tenant_rate_limit.tenants", "must be at least 1");
        }
        let zero = |time: Option<&Span>| time.is_some_and(|time| time.0.is_zero());
        wrong(zero(Switch::on(&self.deadline)), "deadline", "must be longer than nothing, or \"off\"");
        wrong(
            zero(Switch::on(&self.attempt_timeout)),
            "attempt_timeout",
            "must be longer than nothing, or \"off\"",
        );
        if let Some(retry) = Switch::on(&self.retry) {
            let most = crate::policy::Overrides::MOST_RETRIES;
            wrong(retry.retries > most, "retry.retries", &format!("must be at most {most}"));
            wrong(retry.first > retry.longest, "retry.first", "must be at most `longest`");
            wrong(retry.budget_percent > 100, "retry.budget_percent", "must be at most 100");
        }
        if let Some(breaker) = Switch::on(&self.breaker) {
            wrong(breaker.consecutive == 0, "breaker.consecutive", "must be at least 1");
            wrong(!(1..=100).contains(&breaker.percent), "breaker.percent", "must be from 1 to 100");
            wrong(breaker.at_least == 0, "breaker.at_least", "must be at least 1");
            wrong(zero(Some(&breaker.window)), "breaker.window", "must be longer than nothing");
            wrong(zero(Some(&breaker.open)), "breaker.open", "must be longer than nothing");
            wrong(breaker.open > breaker.longest, "breaker.open", "must be at most `longest`");
            wrong(zero(Some(&breaker.half_open)), "breaker.half_open", "must be longer than nothing");
            wrong(breaker.successes == 0, "breaker.successes", "must be at least 1");
            wrong(breaker.successes > breaker.probes, "breaker.successes", "must be at most `probes`");
        }
        if let Some(coalesce) = Switch::on(&self.coalesce) {
            wrong(coalesce.batches == 0, "coalesce.batches", "must be at least 1");
            wrong(!(2..=1000).contains(&coalesce.items), "coalesce.items", "must be from 2 to 1000");
        }
        for (name, own) in &self.operations {
            let path = |field: String| format!("operations.{name}.{field}");
            if !own.operations.is_empty() {
                found.push((path("operations".to_owned()), "an operation has no operations".to_owned()));
            }
            found.extend(own.problems().into_iter().map(|(field, message)| (path(field), message)));
        }
        found
    }
}

impl<T> Switch<T> {
    /// The settings of a policy that is there and not off.
    pub fn on(setting: &Option<Self>) -> Option<&T> {
        match setting {
            Some(Self::On(settings)) => Some(settings),
            _ => None,
        }
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            retries: 2,
            first: Span::millis(50),
            longest: Span::secs(1),
            budget_percent: 20,
            budget_floor: 1,
        }
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            consecutive: 5,
            percent: 50,
            at_least: 10,
            window: Span::secs(10),
            open: Span::secs(1),
            longest: Span::secs(30),
            probes: 3,
            successes: 2,
            half_open: Span::secs(5),
        }
    }
}

impl Default for CoalesceSettings {
    fn default() -> Self {
        Self { batches: 2, items: 64 }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct SwitchVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SwitchVisitor<T> {
    type Value = Switch<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting, or \"off\"")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Switch<T>, E> {
        if on { Err(E::invalid_type(de::Unexpected::Bool(on), &self)) } else { Ok(Switch::Off) }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Switch<T>, E> {
        match text.trim() {
            "off" | "false" => Ok(Switch::Off),
            text => T::deserialize(StrDeserializer::new(text)).map(Switch::On),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Switch<T>, E> {
        T::deserialize(number.into_deserializer()).map(Switch::On)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Switch<T>, E> {
        T::deserialize(number.into_deserializer()).map(Switch::On)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Switch<T>, M::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Switch::On)
    }
}

struct CountVisitor;

impl Visitor<'_> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 1, or \"off\"")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count, E> {
        let count = usize::try_from(number).ok().filter(|count| *count > 0);
        count.map(Count).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }

    /// From a variable, where all is text.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Count, E> {
        match text.parse() {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}

fn is_rate(per_second: f64) -> bool {
    per_second.is_finite() && per_second > 0.0
}

fn tenants() -> usize {
    10_000
}
