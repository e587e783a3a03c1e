//! The settings as they stand in a file: every key that is known, none checked against another.

use super::policy::{PolicySettings, Switch};
use super::units::Span;
use crate::faults::{FaultInjection, FaultSpec};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raw {
    /// Where the plugins are.
    pub plugins_dir: Option<PathBuf>,
    /// Where copies of loaded plugins lie: a folder that can be written to, and run from.
    pub generations_dir: Option<PathBuf>,
    /// Where the flows are.
    pub flows_dir: Option<PathBuf>,
    /// How often the host that serves looks for changed flows.
    pub flows_reload: Option<Switch<Span>>,
    /// The HTTP edge.
    pub edge: crate::edge::Settings,
    /// Traces, metrics and logs.
    pub telemetry: crate::telemetry::Config,
    /// Where runs are written down.
    pub journal: crate::journal::Settings,
    /// The look at every instance in the background.
    pub health: HealthSettings,
    /// How the host ends.
    pub shutdown: ShutdownSettings,
    /// Whether faults may be injected.
    pub fault_injection: FaultInjection,
    /// Faults from the start on.
    pub faults: Vec<FaultSpec>,
    /// Uses of plugins.
    pub instances: BTreeMap<String, RawInstance>,
    /// Which instance plays which role.
    pub roles: BTreeMap<String, String>,
    /// Folders that the host serves itself.
    #[serde(rename = "static")]
    pub statics: BTreeMap<String, StaticSettings>,
}

/// One use of a plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawInstance {
    /// Name of the plugin, as its manifest says it.
    pub plugin: String,
    /// The contract to use, of a plugin with several.
    pub contract: Option<String>,
    /// The plugin's own settings; read from the tree when its manifest is known.
    #[serde(default, rename = "config")]
    pub _config: Option<IgnoredAny>,
    /// Protection.
    #[serde(default)]
    pub policy: PolicySettings,
}

/// The look at every instance in the background.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// How often.
    pub interval: Span,
    /// How long an instance may take to answer.
    pub timeout: Span,
}

/// How the host ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownSettings {
    /// How long calls in flight may take to end.
    pub drain: Span,
}

/// A folder that the host serves itself, so that a profile needs no web server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticSettings {
    /// Where it listens; port 0 takes a free one, and `${static:NAME}` tells the instances.
    pub listen: String,
    /// The folder.
    pub dir: PathBuf,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self { interval: Span::secs(5), timeout: Span::secs(2) }
    }
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self { drain: Span::secs(10) }
    }
}
