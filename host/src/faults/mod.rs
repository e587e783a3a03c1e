//! Faults on purpose: what a bad day does to a call, done to it when it is asked for. Off unless `[fault_injection]` says so.
//!
//! A [`FaultSpec`] says what is to happen, to which calls and how often; a `Rule` is one in force, with its counters. The way of a
//! call asks [`Faults::due`] right at the boundary, so that every policy around it sees the fault as if the backend had had it; the
//! journal asks it as its [`Probe`] at both sides of each write.

mod inject;
mod rule;
mod spec;
#[cfg(test)]
mod tests;

pub use inject::{Injected, Met};
pub use spec::{FaultInjection, FaultSpec, Frequency, Kind};

use crate::config::problem::did_you_mean;
use crate::error::CallFailure;
use crate::journal::{Fate, Point, Probe};
use crate::telemetry::Telemetry;
use arc_swap::ArcSwap;
use chassis_abi::Code;
use chassis_abi::manifest::Operation;
use rule::Rule;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The faults of a host, in force and to come.
pub struct Faults {
    settings: FaultInjection,
    targets: Targets,
    rules: ArcSwap<Vec<Arc<Rule>>>,
    /// Whether any rule is for calls: all that a call asks when there is none.
    calls: AtomicBool,
    /// The same for the journal's writes.
    journal: AtomicBool,
    change: Mutex<u64>,
    telemetry: Option<Telemetry>,
}

/// What a fault can be aimed at.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// The operations of each instance.
    pub instances: BTreeMap<String, Vec<String>>,
    /// Which instance plays which role.
    pub roles: BTreeMap<String, String>,
}

impl Faults {
    /// None in force. `targets` says what can be aimed at.
    pub fn new(settings: FaultInjection, targets: Targets, telemetry: Option<Telemetry>) -> Self {
        Self {
            settings,
            targets,
            rules: ArcSwap::default(),
            calls: AtomicBool::new(false),
            journal: AtomicBool::new(false),
            change: Mutex::new(0),
            telemetry,
        }
    }

    /// The fault that this call meets, if any. When none is set that is one relaxed load.
    #[inline]
    pub fn due(&self, instance: &str, operation: &Operation) -> Option<Injected> {
        if self.calls.load(Ordering::Relaxed) { self.look(instance, operation) } else { None }
    }

    /// Whether any fault may ever be in force here.
    pub fn enabled(&self) -> bool {
        self.settings.enabled
    }

    /// Puts a fault in force; one of the same name is replaced. Answers as it is shown.
    ///
    /// # Errors
    /// `permission_denied` where faults are off, `not_found` for an instance that there is not, `invalid_argument` for a fault that
    /// makes no sense.
    pub fn set(&self, mut spec: FaultSpec) -> Result<Value, CallFailure> {
        self.admit()?;
        spec.check()?;
        self.resolve(&mut spec)?;
        let mut count = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        let name = spec.name.get_or_insert_with(|| format!("fault-{count}")).clone();
        let rule = Arc::new(Rule::new(spec, &name, self.settings.seed));
        let shown = rule.shown();
        let mut rules: Vec<_> =
            self.rules.load().iter().filter(|rule| *rule.name != *name).cloned().collect();
        rules.push(rule);
        self.store(rules);
        tracing::warn!(fault = name, "fault set");
        Ok(shown)
    }

    /// The faults in force, with what is left of each.
    ///
    /// # Errors
    /// `permission_denied` where faults are off.
    pub fn list(&self) -> Result<Value, CallFailure> {
        self.admit()?;
        let rules: Vec<_> = self.rules.load().iter().map(|rule| rule.shown()).collect();
        Ok(json!({ "seed": self.settings.seed, "faults": rules }))
    }

    /// Lifts one fault, or all. Answers how many went.
    ///
    /// # Errors
    /// `permission_denied` where faults are off, `not_found` for a name that none has.
    pub fn clear(&self, name: Option<&str>) -> Result<usize, CallFailure> {
        self.admit()?;
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.rules.load();
        let stays = |rule: &&Arc<Rule>| name.is_some_and(|name| *rule.name != *name);
        let rules: Vec<_> = before.iter().filter(stays).cloned().collect();
        let gone = before.len() - rules.len();
        if let Some(name) = name.filter(|_| gone == 0) {
            return Err(unknown("fault", name, before.iter().map(|rule| &*rule.name)));
        }
        self.store(rules);
        tracing::warn!(gone, "faults cleared");
        Ok(gone)
    }

    fn admit(&self) -> Result<(), CallFailure> {
        if self.settings.enabled {
            return Ok(());
        }
        let message = "faults are off on this host; `[fault_injection] enabled = true` in its configuration allows them";
        Err(CallFailure::new(Code::PermissionDenied, message))
    }

    /// A role stands for its player, and what there is not is told with the nearest that is.
    fn resolve(&self, spec: &mut FaultSpec) -> Result<(), CallFailure> {
        let Targets { instances, roles } = &self.targets;
        if let Some(wanted) = &mut spec.instance
            && !instances.contains_key(wanted)
        {
            let known = instances.keys().chain(roles.keys()).map(String::as_str);
            *wanted = roles.get(wanted).ok_or_else(|| unknown("instance", wanted, known))?.clone();
        }
        let Some(operation) = &spec.operation else { return Ok(()) };
        let seen =
            instances.iter().filter(|(name, _)| spec.instance.as_ref().is_none_or(|only| only == *name));
        let known: Vec<&str> = seen.flat_map(|(_, operations)| operations).map(String::as_str).collect();
        let plain = operation.rsplit('.').next().unwrap_or(operation);
        if known.contains(&plain) { Ok(()) } else { Err(unknown("operation", operation, known)) }
    }

    fn store(&self, rules: Vec<Arc<Rule>>) {
        let crashes = rules.iter().filter(|rule| rule.spec.kind == Kind::Crash).count();
        self.calls.store(crashes < rules.len(), Ordering::Relaxed);
        self.journal.store(crashes > 0, Ordering::Relaxed);
        self.rules.store(Arc::new(rules));
    }

    #[cold]
    fn look(&self, instance: &str, operation: &Operation) -> Option<Injected> {
        let rules = self.rules.load();
        let mut found: Option<Injected> = None;
        for rule in rules.iter().filter(|rule| rule.aims_at(instance, operation)) {
            if !rule.due() {
                continue;
            }
            self.tell(rule, instance, &operation.name);
            let injected = found.get_or_insert_with(|| Injected::new(rule.clone()));
            // Slowness goes along with whatever else is to happen.
            if !injected.and(rule) {
                break;
            }
        }
        found
    }

    #[cold]
    fn crash_if_due(&self, point: &str) {
        for rule in self.rules.load().iter().filter(|rule| rule.crashes_at(point)) {
            if rule.due() {
                tracing::error!(
                    fault = &*rule.name,
                    point,
                    kind = "crash",
                    "fault injected: the host ends here"
                );
                std::process::abort();
            }
        }
    }

    fn tell(&self, rule: &Rule, instance: &str, operation: &str) {
        let kind = rule.spec.kind.as_str();
        tracing::warn!(fault = &*rule.name, instance, operation, kind, "fault injected");
        if let Some(telemetry) = &self.telemetry {
            telemetry.metrics().faults_injected(instance, kind).increment(1);
        }
    }
}

impl Probe for Faults {
    /// A fault that is due here ends the process as it stands.
    fn at(&self, point: Point, _: u64) -> Fate {
        if self.journal.load(Ordering::Relaxed) {
            self.crash_if_due(point.as_str());
        }
        Fate::Live
    }
}

fn unknown<'n>(what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) -> CallFailure {
    let advice = did_you_mean(name, known).map(|advice| format!("; {advice}")).unwrap_or_default();
    CallFailure::new(Code::NotFound, format!("there is no {what} `{name}`{advice}"))
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").field("settings", &self.settings).finish_non_exhaustive()
    }
}
