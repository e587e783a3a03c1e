//! Which flow a command means: one of the profile, by name, or any file.

use super::{Exit, Global};
use crate::app::StartError;
use crate::flow::{Flow, FlowSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The flow that an argument means. Whatever is wrong with other files is not told.
pub(super) fn one(global: &Global, what: &str) -> Result<Arc<Flow>, Exit> {
    if is_file(what) {
        return Ok(Arc::new(FlowSet::read(Path::new(what)).map_err(StartError::from)?));
    }
    let folder = global.load()?.flows_dir;
    let file = file_of(&folder, what);
    if file.is_file() {
        return Ok(Arc::new(FlowSet::read(&file).map_err(StartError::from)?));
    }
    let (flows, wrong) = FlowSet::load_what_can_be(&folder);
    match flows.get(what) {
        Ok(flow) => Ok(flow.clone()),
        // An unreadable folder says more than an unknown name.
        Err(_) if flows.names().is_empty() && !wrong.0.is_empty() => Err(StartError::from(wrong).into()),
        Err(unknown) => Err(unknown.into()),
    }
}

/// Whether an argument is a file and not a name: names have neither `/` nor an ending.
pub(super) fn is_file(what: &str) -> bool {
    what.ends_with(".toml") || what.contains(std::path::is_separator)
}

/// The file of a flow of this name.
pub(super) fn file_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.toml"))
}
