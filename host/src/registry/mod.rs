//! The plugins, the instances made of them, and how an operation of one is called.

mod gather;
mod instance;
mod names;
mod overhead;
mod plugins;
mod services;
mod start;
mod status;
mod time;

pub use instance::{Instance, Operation, OperationRef};
pub use names::Names;
pub use plugins::{Available, CONTRACTS, Plugins, Refused};
pub use status::{LastError, Pool, State, Status};
pub use time::Moment;

use crate::config::problem::did_you_mean;
use crate::config::{Config, HealthSettings, Problems};
use crate::error::CallFailure;
use crate::faults::Faults;
use crate::request::{Reply, Request};
use crate::telemetry::Telemetry;
use chassis_abi::Code;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Everything that can be called.
pub struct Registry {
    plugins: Plugins,
    instances: BTreeMap<String, Arc<Instance>>,
    roles: BTreeMap<String, Arc<Instance>>,
    players: OnceLock<Arc<Value>>,
    health: HealthSettings,
    faults: Arc<Faults>,
    loaded_in: Duration,
}

impl Registry {
    /// Inspects the folder, loads what is needed, and makes the instances, all side by side. `statics` says where the host's
    /// own static servers listen.
    ///
    /// # Errors
    /// All that is wrong with the configuration, once the plugins are known. A server that is down is no error.
    pub async fn start(
        config: &Config,
        telemetry: &Telemetry,
        statics: &BTreeMap<String, SocketAddr>,
    ) -> Result<Self, Problems> {
        let begun = Instant::now();
        let plugins = Plugins::inspect(&config.plugins_dir).await?;
        start::start(begun, config, plugins, telemetry, statics).await
    }

    /// The same over a folder that was inspected before; what is loaded of it is not loaded again.
    pub async fn start_with(
        config: &Config,
        plugins: Plugins,
        telemetry: &Telemetry,
        statics: &BTreeMap<String, SocketAddr>,
    ) -> Result<Self, Problems> {
        start::start(Instant::now(), config, plugins, telemetry, statics).await
    }

    /// How long it took to inspect and load the plugins.
    pub fn loaded_in(&self) -> Duration {
        self.loaded_in
    }

    /// The folder of plugins.
    pub fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    /// The faults that calls are to meet.
    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    /// All instances, by name.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values()
    }

    /// The roles that are played, and by whom.
    pub fn roles(&self) -> impl Iterator<Item = (&str, &Arc<Instance>)> {
        self.roles.iter().map(|(role, instance)| (role.as_str(), instance))
    }

    /// The plugin that plays each role, as expressions see it.
    pub fn players(&self) -> &Arc<Value> {
        let plugin = |(role, instance): (&str, &Arc<Instance>)| {
            (role.to_owned(), Value::from(instance.manifest().name.as_str()))
        };
        let own = self.instances().map(|instance| (instance.name(), instance));
        self.players.get_or_init(|| Arc::new(own.chain(self.roles()).map(plugin).collect()))
    }

    /// An instance by its name, or by the role that it plays.
    pub fn instance(&self, name: &str) -> Option<&Arc<Instance>> {
        self.instances.get(name).or_else(|| self.roles.get(name))
    }

    /// The instance that plays a role; each plays the role of its own name, unless another does.
    pub fn role(&self, role: &str) -> Option<&Arc<Instance>> {
        self.roles.get(role).or_else(|| self.instances.get(role))
    }

    /// An operation of an instance (or role); the failure names the nearest.
    pub fn operation(&self, instance: &str, operation: &str) -> Result<Operation<'_>, CallFailure> {
        self.instance(instance).ok_or_else(|| self.no_instance(instance))?.operation(operation)
    }

    /// Calls an operation of an instance (or role).
    pub async fn call(
        &self,
        instance: &str,
        operation: &str,
        request: Request,
    ) -> Result<Reply, CallFailure> {
        self.operation(instance, operation)?.call(request).await
    }

    /// Looks at every instance now.
    pub async fn check(&self) {
        let mut looks = JoinSet::new();
        for instance in self.instances.values() {
            let instance = instance.clone();
            let timeout = self.health.timeout.0;
            looks.spawn(async move { instance.check(timeout).await });
        }
        looks.join_all().await;
    }

    /// Looks at every instance again and again, off the way of calls, for as long as the registry lives.
    pub fn watch(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let weak = Arc::downgrade(self);
        // No faster than this, whatever is configured: a look costs a call.
        let period = self.health.interval.0.max(Duration::from_millis(100));
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(period);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let Some(registry) = weak.upgrade() else { return };
                registry.check().await;
            }
        })
    }

    /// Closes every instance, side by side; none takes longer than `limit`.
    pub async fn close(&self, limit: Duration) {
        let mut closes = JoinSet::new();
        for instance in self.instances.values() {
            let instance = instance.clone();
            closes.spawn(async move {
                match tokio::time::timeout(limit, instance.close()).await {
                    Ok(Ok(())) => tracing::debug!(instance = instance.name(), "instance closed"),
                    Ok(Err(error)) => {
                        tracing::warn!(instance = instance.name(), %error, "instance closed badly")
                    }
                    Err(_) => tracing::warn!(instance = instance.name(), "instance did not close in time"),
                }
            });
        }
        closes.join_all().await;
    }

    fn no_instance(&self, name: &str) -> CallFailure {
        let roles = self.roles.keys().filter(|role| !self.instances.contains_key(*role));
        let known = self.instances.keys().chain(roles).map(String::as_str);
        let advice = did_you_mean(name, known).map(|advice| format!("; {advice}")).unwrap_or_default();
        CallFailure::new(Code::NotFound, format!("there is no instance `{name}`{advice}"))
    }
}
