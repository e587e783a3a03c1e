//! The flows of a folder.

pub use super::document::FlowErrors;
use super::document::{FlowError, unknown};
use super::model::Flow;
use super::trigger::{Kind, Route, Trigger};
use crate::error::CallFailure;
use chassis_abi::Code;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Flows by name.
#[derive(Clone, Debug, Default)]
pub struct FlowSet {
    flows: BTreeMap<String, Arc<Flow>>,
    problems: FlowErrors,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub enum Routing {
    /// It starts a flow.
    To(Routed),
    /// There is such a path, for these methods.
    Otherwise(Vec<String>),
    /// There is no such path.
    Nowhere,
}

/// A request that starts a flow.
#[derive(Clone, Debug)]
pub struct Routed {
    /// The flow.
    pub flow: Arc<Flow>,
    /// Which of its triggers.
    pub trigger: usize,
    /// What the path has in the places of names.
    pub captured: Map<String, Value>,
}

impl Routed {
    /// The trigger.
    pub fn trigger(&self) -> &Trigger {
        &self.flow.triggers[self.trigger]
    }

    /// The path as the flow's file has it: `/users/{id}`.
    pub fn template(&self) -> &str {
        match &self.trigger().kind {
            Kind::Http(route) => &route.path,
            _ => "",
        }
    }
}

impl FlowSet {
    /// Reads every `*.toml` of a folder, but not the cases of `*.test.toml`; the file's name is the flow's.
    pub fn load(folder: &Path) -> Result<Self, FlowErrors> {
        let (set, errors) = Self::load_what_can_be(folder);
        if errors.0.is_empty() { Ok(set) } else { Err(errors) }
    }

    /// The same, without the files that cannot be read; what is wrong with them comes along.
    pub fn load_what_can_be(folder: &Path) -> (Self, FlowErrors) {
        let mut set = Self::default();
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return (set, FlowErrors(vec![unreadable(folder, &error)])),
        };
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|path| is_flow(path));
        files.sort();
        let mut errors = Vec::new();
        for path in files {
            match Self::read(&path) {
                Ok(flow) => set.insert(flow),
                Err(wrong) => errors.extend(wrong.0),
            }
        }
        (set, FlowErrors(errors))
    }

    /// Reads one file; its name is the flow's.
    pub fn read(path: &Path) -> Result<Flow, FlowErrors> {
        let name = flow_name(path);
        let text = text_of(path).map_err(|error| FlowErrors(vec![unreadable(path, &error)]))?;
        Flow::parse(&name, &path.display().to_string(), &text)
    }

    /// Adds a flow; replaces one of the same name.
    pub fn insert(&mut self, flow: Flow) {
        self.flows.insert(flow.name.clone(), Arc::new(flow));
    }

    /// Adds a flow of another set.
    pub fn keep(&mut self, flow: &Arc<Flow>) {
        self.flows.insert(flow.name.clone(), flow.clone());
    }

    /// Takes a flow out.
    pub fn remove(&mut self, name: &str) {
        self.flows.remove(name);
    }

    /// The same, with what is wrong with files that are not among them as they are.
    pub fn with_problems(self, problems: FlowErrors) -> Self {
        Self { problems, ..self }
    }

    /// What is wrong with files that are not among the flows as they are.
    pub fn problems(&self) -> &FlowErrors {
        &self.problems
    }

    /// A flow by name; the failure names the nearest one.
    pub fn get(&self, name: &str) -> Result<&Arc<Flow>, CallFailure> {
        let unknown = || CallFailure::new(Code::NotFound, unknown("flow", name, &self.names()));
        self.flows.get(name).ok_or_else(unknown)
    }

    /// A flow by name, if it is there.
    pub fn find(&self, name: &str) -> Option<&Arc<Flow>> {
        self.flows.get(name)
    }

    /// The names of all flows.
    pub fn names(&self) -> Vec<&str> {
        self.flows.keys().map(String::as_str).collect()
    }

    /// Which flow a request to this path starts, if it is for any.
    pub fn route(&self, method: &str, path: &str) -> Routing {
        let mut found: Option<(Routed, &Route)> = None;
        let mut methods = Vec::new();
        for flow in self.flows.values() {
            for (at, trigger) in flow.triggers.iter().enumerate() {
                let Kind::Http(route) = &trigger.kind else { continue };
                let Some(captured) = route.captures(path) else { continue };
                if route.method != method {
                    methods.push(route.method.clone());
                } else if found.as_ref().is_none_or(|(_, best)| route.order(best).is_lt()) {
                    let captured = captured.into_iter().map(|(name, text)| (name.to_owned(), text.into()));
                    let routed = Routed { flow: flow.clone(), trigger: at, captured: captured.collect() };
                    found = Some((routed, route));
                }
            }
        }
        match found {
            Some((routed, _)) => Routing::To(routed),
            None if methods.is_empty() => Routing::Nowhere,
            None => Routing::Otherwise(methods),
        }
    }

    /// All flows, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Flow>> {
        self.flows.values()
    }
}

/// The text of a file. What is no file, a pipe for one, may keep its reader waiting for ever.
fn text_of(path: &Path) -> std::io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no file"));
    }
    std::fs::read_to_string(path)
}

/// The name of the flow in a file.
pub fn flow_name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a file is a flow, by its name.
pub fn is_flow(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".toml") && !name.ends_with(".test.toml") && !name.starts_with('.')
}

/// A file or folder that the system does not let us read.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> FlowError {
    FlowError {
        file: path.display().to_string(),
        line: 1,
        column: 1,
        field: String::new(),
        message: format!("cannot be read: {error}"),
    }
}
