//! Configuration: a profile or a file, merged with the environment, and validated.
//!
//! Two steps, as with a command's arguments: [`raw`] knows every key, and this file knows what fits together.

pub mod check;
mod de;
mod interpolate;
mod merge;
pub mod policy;
pub mod problem;
pub mod raw;
mod schema;
pub mod secrets;
mod sense;
pub mod show;
pub mod tree;
pub mod units;

pub use policy::PolicySettings;
pub use problem::{Problem, Problems};
pub use raw::{HealthSettings, ShutdownSettings, StaticSettings};
pub use secrets::Secrets;

use crate::faults::{FaultInjection, FaultSpec};
use interpolate::Outside;
use policy::Switch;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tree::{Node, Origin};

/// The shipped profiles, so that the binary alone is enough. A file of the same name in the folder `config` wins.
const SHIPPED: &[(&str, &str)] = &[
    ("embedded", include_str!("../../../config/embedded.toml")),
    ("local", include_str!("../../../config/local.toml")),
    ("compose", include_str!("../../../config/compose.toml")),
];

/// Where settings come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A profile: `config/NAME.toml`, else the shipped one of that name.
    Profile(String),
    /// A file.
    File(PathBuf),
}

/// Settings that fit together.
#[derive(Clone, Debug)]
pub struct Config {
    /// What they are called: the profile, or the file.
    pub name: String,
    /// Where the plugins are.
    pub plugins_dir: PathBuf,
    /// Where copies of loaded plugins lie.
    pub generations_dir: PathBuf,
    /// Where the flows are.
    pub flows_dir: PathBuf,
    /// How often the host that serves looks for changed flows.
    pub flows_reload: Switch<units::Span>,
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
    /// Uses of plugins, by name.
    pub instances: BTreeMap<String, InstanceConfig>,
    /// Which instance plays which role. Each instance also plays the role of its own name.
    pub roles: BTreeMap<String, String>,
    /// Folders that the host serves itself.
    pub statics: BTreeMap<String, StaticSettings>,
    /// What is known to be secret before the manifests are read.
    pub secrets: Secrets,
    tree: Node,
}

/// One use of a plugin.
#[derive(Clone, Debug)]
pub struct InstanceConfig {
    /// Name of the plugin.
    pub plugin: String,
    /// The contract to use.
    pub contract: Option<String>,
    /// The plugin's own settings, as written.
    pub config: Node,
    /// Protection.
    pub policy: PolicySettings,
    /// Where it stands.
    pub origin: Origin,
    keys: Node,
}

impl InstanceConfig {
    /// Where one of its keys stands, else where it stands itself.
    pub fn config_key(&self, key: &str) -> &Origin {
        self.keys.at([key]).map_or(&self.origin, |node| &node.origin)
    }
}

impl Config {
    /// Reads and validates.
    pub fn load(source: &Source) -> Result<Self, Problems> {
        Self::load_from(source, &interpolate::Process, std::env::vars())
    }

    /// The same, with variables that go before those of the process.
    pub fn load_with(source: &Source, given: &BTreeMap<String, String>) -> Result<Self, Problems> {
        Self::load_from(source, &interpolate::Given(given), std::env::vars())
    }

    /// The same, whatever the environment says of single settings: for a host that is to have nothing in common with others.
    pub fn load_apart(source: &Source, given: &BTreeMap<String, String>) -> Result<Self, Problems> {
        Self::load_from(source, &interpolate::Given(given), [])
    }

    fn load_from(
        source: &Source,
        outside: &impl Outside,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let (name, file, text) = source.read()?;
        let mut tree = Node::parse(&text, &file)?;
        merge::overrides(&mut tree, variables)?;
        interpolate::interpolate(&mut tree, outside)?;
        Self::validate(name, tree, outside)
    }

    fn validate(name: String, tree: Node, outside: &impl Outside) -> Result<Self, Problems> {
        let raw: raw::Raw = de::read(&tree, "")?;
        let mut problems = Problems::default();
        for (role, instance) in &raw.roles {
            if !raw.instances.contains_key(instance) {
                let at = tree.at(["roles", role]).map_or(Origin::Default, |node| node.origin.clone());
                problems.0.push(
                    Problem::new(format!(
                        "the role is played by `{instance}`, and there is no such instance"
                    ))
                    .at(&at)
                    .field(format!("roles.{role}"))
                    .known(instance, raw.instances.keys().map(String::as_str)),
                );
            }
        }
        for (name, server) in &raw.statics {
            if server.listen.parse::<std::net::SocketAddr>().is_err() {
                let at =
                    tree.at(["static", name, "listen"]).map_or(Origin::Default, |node| node.origin.clone());
                problems.0.push(
                    Problem::new("not an address")
                        .at(&at)
                        .field(format!("static.{name}.listen"))
                        .advice("write 127.0.0.1:0"),
                );
            }
        }
        check_listen(&raw.edge.listen, &tree, &mut problems);
        sense::check_edge(&raw.edge, &tree, &mut problems);
        sense::check_telemetry(&raw.telemetry, &tree, &mut problems);
        sense::check_statics(&tree, &raw.statics, &mut problems);
        check_journal(&raw.journal, &tree, &mut problems);
        check_names(raw.instances.keys(), &tree, &mut problems);
        for (name, instance) in &raw.instances {
            check_policy(name, &instance.policy, &tree, &mut problems);
        }
        problems.into_result()?;
        let mut secrets = Secrets::default();
        secrets.add_tree(&tree);
        let instances = raw.instances.into_iter().map(|(name, raw)| {
            let node = tree.at(["instances", &name]);
            let instance = InstanceConfig {
                plugin: raw.plugin,
                contract: raw.contract,
                config: node.and_then(|node| node.at(["config"])).cloned().unwrap_or_else(Node::empty),
                policy: raw.policy,
                origin: node.map_or(Origin::Default, |node| node.origin.clone()),
                keys: node.cloned().unwrap_or_else(Node::empty),
            };
            (name, instance)
        });
        Ok(Self {
            name,
            plugins_dir: raw.plugins_dir.unwrap_or_else(|| default_plugins_dir(outside)),
            generations_dir: raw.generations_dir.unwrap_or_else(|| default_generations_dir(outside)),
            flows_dir: raw.flows_dir.unwrap_or_else(|| "flows".into()),
            flows_reload: raw.flows_reload.unwrap_or(Switch::On(units::Span::secs(1))),
            edge: raw.edge,
            telemetry: raw.telemetry,
            journal: journal(raw.journal, outside),
            health: raw.health,
            shutdown: raw.shutdown,
            fault_injection: raw.fault_injection,
            faults: raw.faults,
            instances: instances.collect(),
            roles: raw.roles,
            statics: raw.statics,
            secrets,
            tree,
        })
    }

    /// Leaves only one instance (or role's player) of all: a command that calls one need not wait for the others. A name that is
    /// not known leaves all, so that the nearest right one can be told.
    pub fn only(&mut self, wanted: &str) {
        if let Some(name) = self.instance_or_role(wanted).map(str::to_owned) {
            self.instances.retain(|instance, _| *instance == name);
            self.roles.retain(|_, instance| *instance == name);
        }
    }

    /// For a command that runs no flow: the journal stays with whoever has it.
    pub fn without_journal(&mut self) {
        self.journal.url = Some("memory".to_owned());
    }

    fn instance_or_role<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if self.instances.contains_key(name) { Some(name) } else { self.role(name) }
    }

    /// The instance that plays a role, by name.
    pub fn role<'a>(&'a self, role: &'a str) -> Option<&'a str> {
        self.roles.get(role).map(String::as_str).or_else(|| self.instances.contains_key(role).then_some(role))
    }
}

impl Source {
    /// Name, what the file is called in messages, and its text.
    fn read(&self) -> Result<(String, String, String), Problem> {
        match self {
            Source::File(path) => {
                let shown = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Problem::new(format!("cannot read the configuration {shown}: {error}"))
                })?;
                Ok((shown.clone(), shown, text))
            }
            Source::Profile(name) => {
                let path = Path::new("config").join(format!("{name}.toml"));
                let shown = path.display().to_string();
                match std::fs::read_to_string(&path) {
                    Ok(text) => Ok((name.clone(), shown, text)),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => SHIPPED
                        .iter()
                        .find(|(shipped, _)| shipped == name)
                        .map(|(_, text)| (name.clone(), format!("{shown} (shipped)"), (*text).to_owned()))
                        .ok_or_else(|| {
                            Problem::new(format!("there is no profile `{name}`: {shown} does not exist"))
                                .known(name, SHIPPED.iter().map(|(name, _)| *name))
                        }),
                    Err(error) => Err(Problem::new(format!("cannot read the profile {shown}: {error}"))),
                }
            }
        }
    }
}

fn check_listen(listen: &str, tree: &Node, problems: &mut Problems) {
    let port =
        listen.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    if !matches!(port, Some(Ok(_))) {
        let at = tree.at(["edge", "listen"]).map_or(Origin::Default, |node| node.origin.clone());
        let problem = Problem::new(format!("`{listen}` is no address to listen on"));
        problems
            .0
            .push(problem.at(&at).field("edge.listen").advice("write host:port, such as 127.0.0.1:7700"));
    }
}

fn check_policy(name: &str, policy: &PolicySettings, tree: &Node, problems: &mut Problems) {
    for (field, message) in policy.problems() {
        let path = ["instances", name, "policy"].into_iter().chain(field.split('.'));
        let at = tree.at(path).map_or(Origin::Default, |node| node.origin.clone());
        problems.0.push(Problem::new(message).at(&at).field(format!("instances.{name}.policy.{field}")));
    }
}

fn check_journal(journal: &crate::journal::Settings, tree: &Node, problems: &mut Problems) {
    if let Err(error) = journal.place() {
        let at = tree.at(["journal", "url"]).map_or(Origin::Default, |node| node.origin.clone());
        problems.0.push(Problem::new(error.to_string()).at(&at).field("journal.url"));
    }
}

/// Beside the data of an embedded profile, unless it is said where.
fn journal(settings: crate::journal::Settings, outside: &impl Outside) -> crate::journal::Settings {
    let beside = || {
        let folder = outside.variable("CHASSIS_DATA").filter(|folder| !folder.is_empty());
        format!("sqlite:{}/journal.db", folder.as_deref().unwrap_or("data"))
    };
    crate::journal::Settings { url: Some(settings.url.unwrap_or_else(beside)), ..settings }
}

/// Names stand in paths, labels and variables as they are.
fn check_names<'a>(names: impl Iterator<Item = &'a String>, tree: &Node, problems: &mut Problems) {
    const LONGEST: usize = 64;
    let sound = |name: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (1..=LONGEST).contains(&name.len()) && name.chars().all(plain)
    };
    for name in names.filter(|name| !sound(name)) {
        let at = tree.at(["instances", name]).map_or(Origin::Default, |node| node.origin.clone());
        let problem = Problem::new("not a name for an instance").at(&at).field(format!("instances.{name}"));
        problems.0.push(problem.advice("use at most 64 letters, digits, `-`, `_` and `.`"));
    }
}

/// Users of one machine do not share it: what one may write another would run.
fn default_generations_dir(outside: &impl Outside) -> PathBuf {
    #[cfg(target_os = "linux")]
    let user =
        std::fs::metadata("/proc/self").ok().map(|own| std::os::unix::fs::MetadataExt::uid(&own).to_string());
    #[cfg(not(target_os = "linux"))]
    let user: Option<String> = None;
    let named = || outside.variable("USER").filter(|user| user.chars().all(char::is_alphanumeric));
    std::env::temp_dir().join(format!("chassis-{}", user.or_else(named).unwrap_or_default()))
}

fn default_plugins_dir(outside: &impl Outside) -> PathBuf {
    if let Some(dir) = outside.variable("CHASSIS_PLUGINS_DIR").filter(|dir| !dir.is_empty()) {
        return dir.into();
    }
    let beside = std::env::current_exe().ok().and_then(|binary| Some(binary.parent()?.join("plugins")));
    beside.unwrap_or_else(|| "plugins".into())
}

#[cfg(test)]
mod tests;
