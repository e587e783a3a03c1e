//! The flows of a folder.

pub use super::document::FlowErrors;
use super::document::{FlowError, unknown};
use super::model::Flow;
use crate::error::CallFailure;
use chassis_abi::Code;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Flows by name.
#[derive(Clone, Debug, Default)]
pub struct FlowSet {
    flows: BTreeMap<String, Arc<Flow>>,
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
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text =
            std::fs::read_to_string(path).map_err(|error| FlowErrors(vec![unreadable(path, &error)]))?;
        Flow::parse(&name, &path.display().to_string(), &text)
    }

    /// Adds a flow; replaces one of the same name.
    pub fn insert(&mut self, flow: Flow) {
        self.flows.insert(flow.name.clone(), Arc::new(flow));
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

    /// All flows, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Flow>> {
        self.flows.values()
    }
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
