//! One configured use of a plugin, and the way of a call to it.

use super::gather::{Gather, Sent, wall_clock};
use super::names::Names;
use super::overhead::{Measured, Overhead};
use super::services::Services;
use super::status::Status;
use crate::config::{InstanceConfig, Secrets};
use crate::error::{CallError, CallFailure};
use crate::faults::{Faults, Met};
use crate::policy::coalesce::Item;
use crate::policy::{Attempt, Breaker, Bulkhead, Shared, Stack};
use crate::request::{Reply, Request};
use crate::telemetry::{OperationTelemetry, Telemetry};
use arc_swap::ArcSwap;
use chassis_abi::manifest::{self, Manifest, TelemetryKind};
use chassis_loader::{Call, Plugin, Supervised};
use serde_json::Value;
use std::mem::take;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::time::Instant;

/// One configured use of a plugin.
pub struct Instance {
    name: Arc<str>,
    contract: Option<String>,
    manifest: Arc<Manifest>,
    boundary: Supervised,
    entries: Box<[Entry]>,
    names: Names,
    policies: Arc<Shared>,
    secrets: Arc<Secrets>,
    faults: Arc<Faults>,
    files: Vec<PathBuf>,
    overhead: Overhead,
    pub(super) status: ArcSwap<Status>,
    pub(super) telemetry: Telemetry,
}

/// What is prepared for each operation, so that a call looks nothing up.
pub(super) struct Entry {
    pub(super) telemetry: OperationTelemetry,
    policy: Stack,
    gather: Option<Gather>,
    /// Hands trace context on to a server.
    pub(super) propagates: bool,
}

/// An operation of an instance, looked up once.
#[derive(Clone, Copy)]
pub struct Operation<'a> {
    instance: &'a Arc<Instance>,
    index: u32,
}

/// The same, to be kept.
#[derive(Clone)]
pub struct OperationRef {
    instance: Arc<Instance>,
    index: u32,
}

impl Instance {
    /// Makes the instance; may block for a short time. A server that is down is no error.
    ///
    /// # Errors
    /// What the plugin has against its configuration.
    pub fn create(
        name: &str,
        plugin: Arc<Plugin>,
        config: &InstanceConfig,
        values: Value,
        secrets: Arc<Secrets>,
        telemetry: &Telemetry,
        faults: &Arc<Faults>,
    ) -> Result<Self, CallError> {
        let name: Arc<str> = name.into();
        let manifest = plugin.manifest().clone();
        let (metrics, now) = (telemetry.metrics(), Instant::now());
        let policies = Shared::new(name.clone(), &config.policy, metrics.policies(&name), now);
        metrics.bulkhead_limit(&name, policies.bulkhead.limit());
        let entry = |operation: &manifest::Operation| {
            let retried = metrics.retries(&name, &operation.name);
            let policy = Stack::new(&config.policy, operation, &policies, retried, now);
            Entry {
                telemetry: OperationTelemetry::new(telemetry, &manifest, operation, &name, &values)
                    .generation(plugin.generation()),
                gather: Gather::new(&policy, &manifest, operation),
                policy,
                propagates: operation.telemetry.kind != TelemetryKind::Database,
            }
        };
        let entries = manifest.operations.iter().map(entry).collect();
        let pointed = |pointer: &String| values.pointer(pointer)?.as_str().map(PathBuf::from);
        let files = manifest.permissions.files.iter().filter_map(pointed).collect();
        let services = Services::new(&manifest.name, &name, secrets.clone(), telemetry);
        let boundary = Supervised::new(plugin, &name, values, Arc::new(services))
            .map_err(|error| scrubbed(error, &secrets))?;
        Ok(Self {
            overhead: Overhead::new(metrics, &manifest.name),
            names: Names::new(&manifest, config.contract.as_deref()),
            contract: config.contract.clone(),
            name,
            manifest,
            boundary,
            entries,
            policies,
            secrets,
            faults: faults.clone(),
            files,
            status: ArcSwap::from_pointee(Status::starting()),
            telemetry: telemetry.clone(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its plugin says of itself.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// The plugin it is made of.
    pub fn plugin(&self) -> &Arc<Plugin> {
        self.boundary.plugin()
    }

    /// The contract it is used for, of a plugin with several.
    pub fn contract(&self) -> Option<&str> {
        self.contract.as_deref()
    }

    /// The operations that can be called, by the shortest name that is clear.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &manifest::Operation)> {
        self.names.shown().map(|(name, index)| (name, &self.manifest.operations[index as usize]))
    }

    /// An operation by its name, plain or with its contract (`cache.get`).
    pub fn operation<'a>(self: &'a Arc<Self>, name: &str) -> Result<Operation<'a>, CallFailure> {
        match self.names.find(name) {
            Ok(index) => Ok(Operation { instance: self, index }),
            Err(why) => Err(why.into_failure(&self.name)),
        }
    }

    /// The files that its configuration names, as its manifest tells.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How it was at the last look.
    pub fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// How often it was made again after a panic.
    pub fn recreations(&self) -> u64 {
        self.boundary.recreations()
    }

    /// Calls in flight now.
    pub fn bulkhead(&self) -> &Bulkhead {
        &self.policies.bulkhead
    }

    /// Its breaker, and those of operations that have their own.
    pub fn breakers(&self) -> impl Iterator<Item = &Arc<Breaker>> {
        let own = self.entries.iter().filter_map(|entry| entry.policy.own_breaker());
        self.policies.breaker.iter().chain(own)
    }

    /// Closes it for good. Wait for calls under way first.
    pub async fn close(&self) -> Result<(), CallError> {
        self.boundary.close().await.map_err(|error| scrubbed(error, &self.secrets))
    }

    pub(super) fn boundary(&self) -> &Supervised {
        &self.boundary
    }

    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    pub(super) fn entry(&self, index: u32) -> &Entry {
        &self.entries[index as usize]
    }

    /// The way of a call. No `async fn`, which would keep the request beside its parts.
    #[inline]
    fn call(
        self: &Arc<Self>,
        index: u32,
        request: Request,
    ) -> impl Future<Output = Result<Reply, CallFailure>> + Send {
        let Entry { telemetry, policy, gather, propagates } = self.entry(index);
        let gather = gather.as_ref().filter(|gather| gather.takes(&request, *propagates));
        let Request { mut json, mut raw, context, mut upload } = request;
        let now = Instant::now();
        let mut span = telemetry.start(&context.trace, &json, now.into_std());
        let sample = self.overhead.sample(now.into_std());
        let clock = sample.as_ref().map(|sample| sample.clock().clone());
        let call = async move {
            let wait = policy.wait(&json);
            let met = Met::new();
            let send = |attempt: Attempt<'_>| {
                if let Some((failure, at)) = attempt.failed {
                    // What a try waited for is no work of the host's.
                    clock.as_ref().inspect(|clock| Overhead::spoil(clock));
                    span.resend(attempt.number, failure, at.into_std(), &json);
                }
                let (json, raw) = match attempt.another {
                    true => (json.clone(), raw.clone()),
                    false => (take(&mut json), take(&mut raw)),
                };
                // A database takes no trace context, so that an unrecorded one need not be written out.
                let traceparent = (*propagates || span.context().is_sampled()).then(|| span.traceparent());
                let call = Call {
                    operation: index,
                    json,
                    raw,
                    traceparent,
                    tracestate: span.tracestate(),
                    idempotency_key: context.idempotency_key.clone(),
                    tenant: context.tenant.clone(),
                    deadline: attempt.told.map(|told| wall_clock(told, attempt.now)),
                    upload: upload.take(),
                    clock: clock.clone(),
                };
                if let Some(fault) = self.faults.due(&self.name, &self.manifest.operations[index as usize]) {
                    let _ = met.set(fault.name().clone());
                    return Sent::faulty(self, span.scope(fault.happen(&self.boundary, call)));
                }
                let begin = |call| span.scope(self.boundary.call(call));
                let item = |call: &Call| Item {
                    json: call.json.clone(),
                    key: call.idempotency_key.clone(),
                    tenant: call.tenant.clone(),
                    traceparent: call.traceparent.clone().filter(|_| *propagates),
                    tracestate: call.tracestate.clone().filter(|_| *propagates),
                    span: span.context().clone(),
                    deadline: attempt.told,
                };
                match gather {
                    None => Sent::Alone { call: begin(call), place: None, secrets: &self.secrets },
                    Some(gather) => {
                        let sent = gather.send(self, index, call, item, begin);
                        if let (Sent::Gathered { .. }, Some(clock)) = (&sent, &clock) {
                            Overhead::spoil(clock);
                        }
                        sent
                    }
                }
            };
            let mut result = policy.run(&context, now, wait, send).await;
            if let Some(fault) = met.get() {
                span.set("chassis.fault", fault.clone());
            }
            span.finish(&mut result);
            result
        };
        Measured::new(call, sample)
    }
}

impl<'a> Operation<'a> {
    /// What the manifest says of it.
    pub fn entry(self) -> &'a manifest::Operation {
        &self.instance.manifest.operations[self.index as usize]
    }

    pub(super) fn index(self) -> u32 {
        self.index
    }

    /// The instance.
    pub fn instance(self) -> &'a Arc<Instance> {
        self.instance
    }

    /// Calls it.
    #[inline]
    pub fn call(self, request: Request) -> impl Future<Output = Result<Reply, CallFailure>> + Send + 'a {
        self.instance.call(self.index, request)
    }

    /// To be kept.
    pub fn to_ref(self) -> OperationRef {
        OperationRef { instance: self.instance.clone(), index: self.index }
    }
}

impl OperationRef {
    /// The operation.
    pub fn get(&self) -> Operation<'_> {
        Operation { instance: &self.instance, index: self.index }
    }

    /// Calls it.
    #[inline]
    pub fn call(&self, request: Request) -> impl Future<Output = Result<Reply, CallFailure>> + Send + '_ {
        self.get().call(request)
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("name", &self.name)
            .field("plugin", &self.manifest.name)
            .finish_non_exhaustive()
    }
}

/// Plugins see to it that no secret is in an error; this is the second lock on that door.
pub(super) fn scrubbed(mut error: CallError, secrets: &Secrets) -> CallError {
    secrets.scrub_mut(&mut error.message);
    error.causes.iter_mut().for_each(|cause| secrets.scrub_mut(cause));
    error
}
