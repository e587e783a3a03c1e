//! Whether a manifest contradicts itself, and whether this host knows its contracts.

use crate::header::bad_manifest;
use crate::refusal::{Refusal, RefusalKind};
use chassis_abi::manifest::{Manifest, Operation};
use std::collections::HashSet;
use std::path::Path;

/// Checks what the host relies on.
pub(crate) fn check(path: &Path, manifest: &Manifest) -> Result<(), Refusal> {
    let bad = |found: String, expected: &str| Err(bad_manifest(path, found, expected));
    if manifest.name.is_empty() {
        return bad("an empty name".into(), "a plugin with a name");
    }
    let mut seen = HashSet::new();
    for operation in &manifest.operations {
        let name = qualified(operation);
        if operation.name.is_empty() {
            return bad(format!("the operation `{name}`"), "operations with names");
        }
        if !seen.insert((&operation.contract, &operation.name)) {
            return bad(format!("the operation `{name}` twice"), "each operation of a contract once");
        }
        if let Some(contract) = operation.contract.as_ref().filter(|name| !manifest.contracts.contains(name))
        {
            return bad(
                format!("`{name}` of the contract `{contract}`"),
                "only contracts that `contracts` names",
            );
        }
        if let Some(batch) = &operation.batched_by {
            let same = |other: &&Operation| other.contract == operation.contract && other.name == *batch;
            if !manifest.operations.iter().any(|other| same(&other)) {
                return bad(
                    format!("`{name}` batched by `{batch}`, which is missing"),
                    "a batch operation of the same contract",
                );
            }
        }
    }
    if !manifest.operations.iter().any(|op| op.contract.is_none() && op.name == "health") {
        return bad("no operation `health`".into(), "`health`, without a contract, in every plugin");
    }
    Ok(())
}

/// Checks the contracts against those that the host knows.
pub(crate) fn check_contracts(path: &Path, manifest: &Manifest, known: &[String]) -> Result<(), Refusal> {
    let Some(unknown) = manifest.contracts.iter().find(|contract| !known.contains(contract)) else {
        return Ok(());
    };
    Err(Refusal::new(
        RefusalKind::UnknownContract,
        path,
        format!("the contract `{unknown}`"),
        format!("contracts out of {}", known.join(", ")),
        "use a host that knows this contract, or make its operations the plugin's own",
    ))
}

fn qualified(operation: &Operation) -> String {
    match &operation.contract {
        Some(contract) => format!("{contract}.{}", operation.name),
        None => operation.name.clone(),
    }
}
