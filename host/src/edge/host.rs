//! What the edge needs of the host behind it. The registry is one; tests have their own.

use crate::error::CallFailure;
use crate::faults::Faults;
use crate::request::{Reply, Request};
use chassis_abi::manifest::{Manifest, Operation};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;

/// Instances that can be called, and what is known of them.
pub trait Host: Send + Sync + 'static {
    /// How an operation is to be fed and read.
    ///
    /// # Errors
    /// `not_found` if there is no such instance, `unimplemented` if it has no such operation, `invalid_argument` if the name can
    /// mean several.
    fn shape(&self, instance: &str, operation: &str) -> Result<Shape, CallFailure>;

    /// Calls an operation. Dropping the future, or the answered stream, cancels the call.
    fn call<'a>(
        &'a self,
        instance: &'a str,
        operation: &'a str,
        request: Request,
    ) -> BoxFuture<'a, Result<Reply, CallFailure>>;

    /// Every instance, by name.
    fn instances(&self) -> Vec<InstanceInfo>;

    /// Plugins, loaded and refused, as they are shown.
    fn plugins(&self) -> Value;

    /// The faults that calls are to meet, of a host that knows any.
    fn faults(&self) -> Option<Arc<Faults>> {
        None
    }

    /// How every instance is: an object each, with its `name` and `state` (`ok` if it is well).
    fn health(&self) -> Vec<Value>;
}

/// What goes in and out of an operation besides JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Takes a raw attachment.
    pub raw_input: bool,
    /// Answers with a raw attachment.
    pub raw_output: bool,
    /// Takes a stream of items.
    pub upload: bool,
}

/// An instance, as it is described.
#[derive(Clone, Debug)]
pub struct InstanceInfo {
    /// Its name.
    pub name: String,
    /// The contract that it is restricted to.
    pub contract: Option<String>,
    /// Its plugin.
    pub manifest: Arc<Manifest>,
    /// Its operations: the name by which each is called, and its place in the manifest.
    pub operations: Vec<(String, usize)>,
}

impl From<&Operation> for Shape {
    fn from(operation: &Operation) -> Self {
        Self { raw_input: operation.raw_input, raw_output: operation.raw_output, upload: operation.upload }
    }
}

impl InstanceInfo {
    /// Its operations.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &Operation)> {
        let entry = |at: usize| self.manifest.operations.get(at);
        self.operations.iter().filter_map(move |(name, at)| Some((name.as_str(), entry(*at)?)))
    }
}
