//! The operations of a plugin, as it declares them.

use crate::contracts::{cache, documents, http, queue, relational, search};
use crate::ffi::Env;
use crate::manifest::Spec;
use crate::{Plugin, Upload};
use chassis_abi::ChassisFuture;

/// The input of an operation that takes none.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Begins one call. An operation that takes no upload drops it.
pub(crate) type Begin<P> = Box<dyn Fn(Env<P>, Upload) -> ChassisFuture + Send + Sync>;

/// Collects the operations of a plugin; `health` is there already.
pub struct Operations<P: Plugin> {
    pub(crate) specs: Vec<Spec>,
    pub(crate) begins: Vec<Begin<P>>,
}

impl<P: Plugin> Operations<P> {
    /// All operations of the plugin, in the manifest's order.
    pub(crate) fn of() -> Self {
        let mut operations = Self { specs: Vec::new(), begins: Vec::new() };
        operations.__add(Spec::health(), |env, _| {
            let at = env.at();
            crate::ffi::begin_unary(at, async move {
                env.input::<Nothing>()?;
                env.plugin().health().await
            })
        });
        P::operations(&mut operations);
        operations
    }

    /// Implements the contract `relational`.
    pub fn relational(&mut self) -> &mut Self
    where
        P: relational::Relational,
    {
        relational::register(self);
        self
    }

    /// Implements the contract `documents`.
    pub fn documents(&mut self) -> &mut Self
    where
        P: documents::Documents,
    {
        documents::register(self);
        self
    }

    /// Implements the contract `cache`.
    pub fn cache(&mut self) -> &mut Self
    where
        P: cache::Cache,
    {
        cache::register(self);
        self
    }

    /// Implements the contract `queue`.
    pub fn queue(&mut self) -> &mut Self
    where
        P: queue::Queue,
    {
        queue::register(self);
        self
    }

    /// Implements the contract `search`.
    pub fn search(&mut self) -> &mut Self
    where
        P: search::Search,
    {
        search::register(self);
        self
    }

    /// Implements the contract `http`.
    pub fn http(&mut self) -> &mut Self
    where
        P: http::Http,
    {
        http::register(self);
        self
    }

    #[doc(hidden)]
    pub fn __add(
        &mut self,
        spec: Spec,
        begin: impl Fn(Env<P>, Upload) -> ChassisFuture + Send + Sync + 'static,
    ) {
        self.specs.push(spec);
        self.begins.push(Box::new(begin));
    }
}
