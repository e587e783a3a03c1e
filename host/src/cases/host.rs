//! A host for one case: the embedded profile in a folder of its own, which goes with it. It has everything that a host has but the
//! edge and what starts runs by itself.

use crate::app::StartError;
use crate::config::policy::Switch;
use crate::config::units::Span;
use crate::config::{Config, Problem, Problems, Source, check};
use crate::flow::check::World;
use crate::flow::trace::Spans;
use crate::flow::{Engine, FlowSet};
use crate::journal::{Journal, OpenError};
use crate::registry::{Plugins, Registry};
use crate::static_server::StaticServers;
use crate::telemetry::Telemetry;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the hosts of all cases share: nothing that a case could change.
pub struct Hosts {
    source: Source,
    config: Config,
    plugins: Plugins,
    telemetry: Telemetry,
}

/// A host that has started.
pub struct Host {
    /// Everything that can be called.
    pub registry: Arc<Registry>,
    /// Runs the flows.
    pub engine: Engine,
    statics: StaticServers,
    _folder: Folder,
}

/// Where the profile's backends keep what they keep.
const DATA: &str = "CHASSIS_DATA";
/// How long an instance may take to close.
const CLOSE: Duration = Duration::from_secs(5);

impl Hosts {
    /// Loads what hosts of this configuration need.
    ///
    /// # Errors
    /// What keeps a host from starting.
    pub async fn prepare(source: Source) -> Result<Self, StartError> {
        let mut config = config(&source, &std::env::temp_dir())?;
        // What goes wrong is the play itself, and told by it. `CHASSIS_LOG` shows more.
        config.telemetry.log = "off".to_owned();
        let mut plugins = Plugins::inspect(&config.plugins_dir).await.map_err(Problems::from)?;
        check::check(&config, &plugins)?;
        let telemetry = Telemetry::start(&config.telemetry)?;
        let needed = config.instances.values().map(|instance| instance.plugin.as_str());
        plugins.load(needed, config.generations_dir.clone()).await;
        Ok(Self { source, config, plugins, telemetry })
    }

    /// Where the flows are.
    pub fn flows_dir(&self) -> &Path {
        &self.config.flows_dir
    }

    /// What flows and cases find there.
    pub fn world(&self) -> World {
        World::new(&self.config, &self.plugins)
    }

    /// Starts a host over empty stores. `attempt_timeout` is what it gives each try, if that is not what the configuration says.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn open(&self, flows: FlowSet, attempt_timeout: Option<Duration>) -> Result<Host, StartError> {
        let folder = Folder::make()?;
        let mut config = config(&self.source, &folder.0)?;
        config.fault_injection.enabled = true;
        config.journal.url = Some(format!("sqlite:{}", folder.0.join("journal.db").display()));
        for instance in config.instances.values_mut().filter(|_| attempt_timeout.is_some()) {
            instance.policy.attempt_timeout = attempt_timeout.map(|time| Switch::On(Span(time)));
        }
        apart(&config, &folder.0)?;
        let journal = Journal::open(&config.journal).await?;
        let statics = StaticServers::start(&config.statics).await?;
        let plugins = self.plugins.clone();
        let registry = Registry::start_with(&config, plugins, &self.telemetry, statics.addresses()).await?;
        let registry = Arc::new(registry);
        let spans = Spans::new(&self.telemetry, &flows);
        let engine = Engine::with_journal(flows, registry.clone(), spans, journal);
        // The journal is empty, but only who looked has it.
        engine.recover().await.map_err(OpenError::from)?;
        engine.keep_up(config.journal.keep.0);
        Ok(Host { registry, engine, statics, _folder: folder })
    }

    /// Ends what they shared.
    pub async fn close(self) {
        self.telemetry.shutdown().await;
        self.plugins.remove_copies();
    }
}

impl Host {
    /// Ends it; a run that still goes is left as it is.
    pub async fn close(self) {
        self.engine.abandon();
        self.engine.journal().close().await;
        self.registry.close(CLOSE).await;
        self.statics.stop();
    }
}

/// Of a host that keeps its data in this folder, whatever the environment says.
fn config(source: &Source, folder: &Path) -> Result<Config, Problems> {
    let given = BTreeMap::from([(DATA.to_owned(), folder.display().to_string())]);
    Config::load_apart(source, &given)
}

/// A backend that keeps its files elsewhere is no test's own: what a case does there would stay.
fn apart(config: &Config, folder: &Path) -> Result<(), Problems> {
    for (name, instance) in &config.instances {
        let Some(node) = instance.config.at(["path"]) else { continue };
        let path = node.json();
        let path = path.as_str().unwrap_or_default();
        if !Path::new(path).starts_with(folder) {
            let problem =
                Problem::new(format!("the backend keeps its data in {path}, which cases must not touch"));
            let problem = problem.at(&node.origin).field(format!("instances.{name}.config.path"));
            let advice = format!("write ${{env:{DATA}:-data}}/{name}.db: each case has a folder of its own");
            return Err(problem.advice(advice).into());
        }
    }
    Ok(())
}

/// Gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, Problems> {
        let path = std::env::temp_dir().join(format!("chassis-case-{}", uuid::Uuid::new_v4()));
        let made = std::fs::create_dir(&path);
        made.map_err(|error| Problem::new(format!("no folder {} can be made: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
