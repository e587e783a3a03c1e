//! One configured use of a plugin, and the way of a call to it.

use super::names::Names;
use super::services::Services;
use super::status::Status;
use crate::config::{InstanceConfig, Secrets};
use crate::error::{CallError, CallFailure};
use crate::faults::{self, Faults};
use crate::policy::{Bulkhead, Stack};
use crate::request::{Reply, Request};
use crate::telemetry::{OperationTelemetry, Telemetry};
use arc_swap::ArcSwap;
use chassis_abi::manifest::{self, Manifest, TelemetryKind};
use chassis_loader::{Call, Plugin, Supervised};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::time::Instant;

/// One configured use of a plugin.
pub struct Instance {
    name: Arc<str>,
    contract: Option<String>,
    manifest: Arc<Manifest>,
    boundary: Supervised,
    entries: Box<[Entry]>,
    names: Names,
    bulkhead: Bulkhead,
    secrets: Arc<Secrets>,
    faults: Arc<Faults>,
    files: Vec<PathBuf>,
    pub(super) status: ArcSwap<Status>,
    pub(super) telemetry: Telemetry,
}

/// What is prepared for each operation, so that a call looks nothing up.
struct Entry {
    telemetry: OperationTelemetry,
    policy: Stack,
    /// Hands trace context on to a server.
    propagates: bool,
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
        let bulkhead = Bulkhead::new(config.policy.bulkhead.unwrap_or(crate::policy::DEFAULT_BULKHEAD));
        let entry = |operation: &manifest::Operation| Entry {
            telemetry: OperationTelemetry::new(telemetry, &manifest, operation, &name, &values)
                .generation(plugin.generation()),
            policy: Stack::new(&config.policy, operation, &bulkhead),
            propagates: operation.telemetry.kind != TelemetryKind::Database,
        };
        let entries = manifest.operations.iter().map(entry).collect();
        let pointed = |pointer: &String| values.pointer(pointer)?.as_str().map(PathBuf::from);
        let files = manifest.permissions.files.iter().filter_map(pointed).collect();
        let services = Services::new(&name, secrets.clone(), telemetry);
        let boundary = Supervised::new(plugin, &name, values, Arc::new(services))
            .map_err(|error| scrubbed(error, &secrets))?;
        Ok(Self {
            names: Names::new(&manifest, config.contract.as_deref()),
            contract: config.contract.clone(),
            name,
            manifest,
            boundary,
            entries,
            bulkhead,
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
        &self.bulkhead
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

    /// The way of a call.
    async fn call(&self, index: u32, request: Request) -> Result<Reply, CallFailure> {
        let Entry { telemetry, policy, propagates } = &self.entries[index as usize];
        let Request { json, raw, context, upload } = request;
        let mut span = telemetry.start(&context.trace, &json);
        let wait = policy.wait(&json);
        // A database takes no trace context, so that an unrecorded one need not be written out.
        let traceparent = (*propagates || span.context().is_sampled()).then(|| span.traceparent());
        let met = faults::Met::new();
        let send = |deadline: Option<Instant>| {
            let fault = self.faults.due(&self.name, &self.manifest.operations[index as usize]);
            let call = Call {
                operation: index,
                json,
                raw,
                traceparent,
                tracestate: span.tracestate(),
                idempotency_key: context.idempotency_key.clone(),
                tenant: context.tenant.clone(),
                deadline: deadline.map(wall_clock),
                upload,
            };
            let call = faults::around(fault, &self.boundary, call, &met);
            async { call.await.map_err(|error| CallFailure::from(scrubbed(error, &self.secrets))) }
        };
        let mut result = span.scope(policy.run(&context, wait, send)).await;
        if let Some(fault) = met.get() {
            span.set("chassis.fault", fault.clone());
        }
        span.finish(&mut result);
        result
    }
}

impl<'a> Operation<'a> {
    /// What the manifest says of it.
    pub fn entry(self) -> &'a manifest::Operation {
        &self.instance.manifest.operations[self.index as usize]
    }

    /// The instance.
    pub fn instance(self) -> &'a Arc<Instance> {
        self.instance
    }

    /// Calls it.
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
fn scrubbed(mut error: CallError, secrets: &Secrets) -> CallError {
    secrets.scrub_mut(&mut error.message);
    error.causes.iter_mut().for_each(|cause| secrets.scrub_mut(cause));
    error
}

fn wall_clock(deadline: Instant) -> SystemTime {
    SystemTime::now() + deadline.saturating_duration_since(Instant::now())
}
