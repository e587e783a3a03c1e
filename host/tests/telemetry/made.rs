//! Calls of every operation there is, without a plugin: its manifest says enough.

use super::sample;
use chassis::error::CallFailure;
use chassis::telemetry::{CallSpan, OperationTelemetry, Telemetry};
use chassis_abi::manifest::{Manifest, Operation};
use opentelemetry::trace::{SpanContext, SpanKind as Kind};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// One call that was made, and the trace it was made in.
pub struct Made {
    pub manifest: Manifest,
    pub op: Operation,
    pub instance: String,
    pub input: Value,
    pub root: SpanContext,
}

impl Made {
    pub fn title(&self) -> String {
        format!("{} {}.{}", self.manifest.name, self.op.contract.as_deref().unwrap_or("own"), self.op.name)
    }

    /// What the input names as its target.
    pub fn target(&self) -> Option<&str> {
        let single = self.manifest.operations.iter().find(|single| {
            single.contract == self.op.contract && single.batched_by.as_deref() == Some(self.op.name.as_str())
        });
        let at = match (&self.op.telemetry.target, single.and_then(|single| single.telemetry.target.as_ref()))
        {
            (Some(target), _) => target.clone(),
            (None, Some(target)) => format!("/items/0{target}"),
            (None, None) => return None,
        };
        self.input.pointer(&at)?.as_str()
    }
}

/// Every operation of every manifest: of the plugins in this repository, and of those built into `CHASSIS_PLUGINS_DIR`.
pub fn operations() -> impl Iterator<Item = (Manifest, Operation)> {
    let mut manifests: BTreeMap<String, Manifest> = BTreeMap::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    for plugin in std::fs::read_dir(folder).unwrap() {
        let path = plugin.unwrap().path().join("manifest.json");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let manifest: Manifest =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        manifests.insert(manifest.name.clone(), manifest);
    }
    if let Some(folder) = std::env::var_os("CHASSIS_PLUGINS_DIR") {
        for library in std::fs::read_dir(folder).unwrap() {
            let path = library.unwrap().path();
            let inspected = chassis_loader::inspect(&path).unwrap_or_else(|refusal| panic!("{refusal}"));
            manifests.insert(inspected.manifest.name.clone(), (*inspected.manifest).clone());
        }
    }
    manifests.into_values().flat_map(|manifest| {
        let operations = manifest.operations.clone();
        operations.into_iter().map(move |op| (manifest.clone(), op))
    })
}

pub fn succeed(telemetry: &Telemetry, manifest: Manifest, op: Operation) -> Made {
    let output = sample::output(&op).to_string();
    call(telemetry, manifest, op, |span, _| span.finish_with(Ok(output.as_bytes())))
}

pub fn fail(telemetry: &Telemetry, manifest: Manifest, op: Operation, failure: &CallFailure) -> Made {
    call(telemetry, manifest, op, |span, _| span.finish_with(Err(failure)))
}

pub fn call(
    telemetry: &Telemetry,
    manifest: Manifest,
    op: Operation,
    end: impl FnOnce(CallSpan, &Value),
) -> Made {
    let instance = instance(&manifest, &op);
    let of =
        OperationTelemetry::new(telemetry, &manifest, &op, &instance, &sample::config(&op)).generation(3);
    let input = sample::input(&manifest, &op);
    let root = telemetry.span("root", Kind::Internal, &SpanContext::NONE, []);
    end(of.start(root.context(), input.to_string().as_bytes(), Instant::now()), &input);
    let context = root.context().clone();
    Made { manifest, op, instance, input, root: context }
}

/// One for each contract, so that no two operations share their metrics.
pub fn instance(manifest: &Manifest, op: &Operation) -> String {
    format!("{}-{}", manifest.name, op.contract.as_deref().unwrap_or("own"))
}
