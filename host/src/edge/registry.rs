//! The registry, as the edge sees it.

use super::host::{Host, InstanceInfo, Shape};
use crate::error::CallFailure;
use crate::faults::Faults;
use crate::registry::{Instance, Registry};
use crate::request::{Reply, Request};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::sync::Arc;

impl Host for Registry {
    fn shape(&self, instance: &str, operation: &str) -> Result<Shape, CallFailure> {
        Ok(Shape::from(self.operation(instance, operation)?.entry()))
    }

    fn call<'a>(
        &'a self,
        instance: &'a str,
        operation: &'a str,
        request: Request,
    ) -> BoxFuture<'a, Result<Reply, CallFailure>> {
        match self.operation(instance, operation) {
            Ok(operation) => Box::pin(operation.call(request)),
            Err(failure) => Box::pin(std::future::ready(Err(failure))),
        }
    }

    fn instances(&self) -> Vec<InstanceInfo> {
        self.instances().map(|instance| info(instance)).collect()
    }

    fn plugins(&self) -> Value {
        let plugins = self.plugins();
        let available = plugins.available.values().map(|available| {
            let inspected = &available.inspected;
            let manifest = &inspected.manifest;
            json!({
                "name": manifest.name,
                "version": manifest.version,
                "description": manifest.description,
                "abi": format!("{}.{}", inspected.abi.0, inspected.abi.1),
                "build_id": inspected.build_id,
                "path": inspected.path,
                "contracts": manifest.contracts,
                "operations": manifest.operations.len(),
                "permissions": manifest.permissions,
                // A plugin that no instance uses is not loaded: none of its code has run.
                "loaded": available.plugin.is_some(),
                "generation": available.plugin.as_ref().map(|plugin| plugin.generation()),
                "took_ms": available.took.as_secs_f64() * 1e3,
            })
        });
        json!({ "plugins": available.collect::<Vec<_>>(), "refused": plugins.refused })
    }

    fn faults(&self) -> Option<Arc<Faults>> {
        Some(Registry::faults(self).clone())
    }

    fn health(&self) -> Vec<Value> {
        self.instances().map(|instance| health(instance)).collect()
    }
}

fn info(instance: &Instance) -> InstanceInfo {
    let manifest = instance.manifest();
    let place = |operation| manifest.operations.iter().position(|entry| std::ptr::eq(entry, operation));
    let operations =
        instance.operations().filter_map(|(name, operation)| Some((name.to_owned(), place(operation)?)));
    InstanceInfo {
        name: instance.name().to_owned(),
        contract: instance.contract().map(str::to_owned),
        operations: operations.collect(),
        manifest: manifest.clone(),
    }
}

/// Its status, and whose it is.
fn health(instance: &Instance) -> Value {
    let mut shown = json!({ "name": instance.name(), "plugin": instance.manifest().name });
    let status = serde_json::to_value(&*instance.status()).unwrap_or_default();
    if let (Some(shown), Value::Object(status)) = (shown.as_object_mut(), status) {
        shown.extend(status);
        shown.insert("in_flight".to_owned(), json!(instance.bulkhead().in_flight()));
        shown.insert("recreations".to_owned(), json!(instance.recreations()));
        // By name: the instance's own, and those of operations that have one.
        let now = tokio::time::Instant::now();
        let breakers =
            instance.breakers().map(|breaker| (breaker.name().to_owned(), json!(breaker.shown(now))));
        shown.insert("breakers".to_owned(), breakers.collect::<serde_json::Map<_, _>>().into());
    }
    shown
}
