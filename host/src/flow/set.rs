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
    /// Reads every `*.toml` of a folder; the file's name is the flow's.
    pub fn load(folder: &Path) -> Result<Self, FlowErrors> {
        let mut set = Self::default();
        let mut errors = Vec::new();
        let entries =
            std::fs::read_dir(folder).map_err(|error| FlowErrors(vec![unreadable(folder, &error)]))?;
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        for path in files {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            match std::fs::read_to_string(&path) {
                Err(error) => errors.push(unreadable(&path, &error)),
                Ok(text) => match Flow::parse(&name, &path.display().to_string(), &text) {
                    Ok(flow) => set.insert(flow),
                    Err(wrong) => errors.extend(wrong.0),
                },
            }
        }
        if errors.is_empty() { Ok(set) } else { Err(FlowErrors(errors)) }
    }

    /// Adds a flow; replaces one of the same name.
    pub fn insert(&mut self, flow: Flow) {
        self.flows.insert(flow.name.clone(), Arc::new(flow));
    }

    /// A flow by name; the failure names the nearest one.
    pub fn get(&self, name: &str) -> Result<&Arc<Flow>, CallFailure> {
        let names: Vec<&str> = self.flows.keys().map(String::as_str).collect();
        self.flows.get(name).ok_or_else(|| CallFailure::new(Code::NotFound, unknown("flow", name, &names)))
    }

    /// All flows, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Flow>> {
        self.flows.values()
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> FlowError {
    FlowError {
        file: path.display().to_string(),
        line: 1,
        column: 1,
        field: String::new(),
        message: format!("cannot be read: {error}"),
    }
}
