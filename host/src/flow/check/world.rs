//! What flows find when they run: who plays which role, as far as the plugins' files tell.

use crate::config::Config;
use crate::registry::{Names, Plugins};
use chassis_abi::manifest::{Manifest, Operation};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The instances, by name and role.
#[derive(Debug, Default)]
pub struct World {
    players: BTreeMap<String, Option<Player>>,
}

/// An instance that plays a role.
#[derive(Clone, Debug)]
pub struct Player {
    /// The instance's name.
    pub instance: String,
    manifest: Arc<Manifest>,
    names: Arc<Names>,
}

impl World {
    /// What a configuration and a folder of plugins make. Nothing is opened.
    pub fn new(config: &Config, plugins: &Plugins) -> Self {
        let player = |name: &str| {
            let instance = config.instances.get(name)?;
            let manifest = plugins.manifest(&instance.plugin)?.clone();
            let names = Arc::new(Names::new(&manifest, instance.contract.as_deref()));
            Some(Player { instance: name.to_owned(), manifest, names })
        };
        let mut players: BTreeMap<_, _> =
            config.instances.keys().map(|name| (name.clone(), player(name))).collect();
        players.extend(config.roles.iter().map(|(role, name)| (role.clone(), player(name))));
        Self { players }
    }

    /// Who plays a role. Nobody, or somebody of whom nothing is known as his plugin is not there: then the configuration is wrong, and
    /// tells so itself.
    pub fn player(&self, role: &str) -> Option<Option<&Player>> {
        self.players.get(role).map(Option::as_ref)
    }

    /// All roles.
    pub fn roles(&self) -> Vec<&str> {
        self.players.keys().map(String::as_str).collect()
    }
}

impl Player {
    /// An operation by the name that flows use.
    ///
    /// # Errors
    /// There is none, or several; with the nearest.
    pub fn operation(&self, name: &str) -> Result<&Operation, String> {
        match self.names.find(name) {
            Ok(at) => Ok(&self.manifest.operations[at as usize]),
            Err(none) => Err(none.into_failure(&self.instance).error.message),
        }
    }
}
