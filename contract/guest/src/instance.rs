//! An instance on the plugin's side: made, called, closed, destroyed.

use crate::ffi::HostTable;
use crate::operations::{Begin, Operations};
use crate::runtime::Background;
use crate::{Context, Error, Plugin};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;

/// What every call of an instance needs, whatever the plugin.
pub(crate) struct Shared {
    pub(crate) runtime: Handle,
    poison: Poison,
}

/// Set by the first panic, of a call or of a task; every later call tells the host. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Poison(Arc<AtomicBool>);

impl Poison {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Shared {
    pub(crate) fn poison(&self) {
        self.poison.set();
    }

    pub(crate) fn poisoned(&self) -> bool {
        self.poison.0.load(Ordering::Acquire)
    }
}

/// An instance. Fields are dropped in order: the plugin's value, then the thread that its tasks run on.
pub(crate) struct Instance<P: Plugin> {
    pub(crate) plugin: P,
    pub(crate) begins: Vec<Begin<P>>,
    pub(crate) shared: Shared,
    _background: Background,
}

impl<P: Plugin> Instance<P> {
    pub(crate) fn open(host: HostTable, config: &[u8]) -> Result<Self, Error> {
        let config = parse::<P::Config>(config, "the configuration is refused")?;
        let background = Background::start(host.instance())?;
        let runtime = background.handle().clone();
        let poison = Poison::default();
        let context = Context::new(host, runtime.clone(), poison.clone());
        let plugin = runtime.block_on(P::open(config, context))?;
        let shared = Shared { runtime, poison };
        Ok(Self { plugin, begins: Operations::<P>::of().begins, shared, _background: background })
    }
}

/// Reads JSON; an error names the field. The common case takes the quick way; only a failure is read again to find the field.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8], refusal: &str) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|quick| {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let (field, reason) = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
            Err(error) => (error.path().to_string(), error.inner().to_string()),
            Ok(_) => (".".to_owned(), quick.to_string()),
        };
        let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
        if field == "." {
            let named = reason.split('`').nth(1).unwrap_or_default().to_owned();
            let error = Error::new(chassis_abi::Code::InvalidArgument, format!("{refusal}: {reason}"));
            if named.is_empty() { error } else { error.field(named) }
        } else {
            Error::invalid(field.clone(), format!("{refusal}: `{field}`: {reason}"))
        }
    })
}
