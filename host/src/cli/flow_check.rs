//! `chassis flow check`

use super::{Exit, Global, flow_files};
use crate::app::StartError;
use crate::config::check;
use crate::flow::FlowSet;
use crate::flow::check::{World, check_all, check_one};
use crate::flow::document::{FlowError, FlowErrors};
use crate::registry::Plugins;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Checks these, files or names, among the profile's flows; without any, all of the profile's.
pub(super) async fn run(global: &Global, which: &[String]) -> Result<ExitCode, Exit> {
    let config = global.load()?;
    let plugins = Plugins::inspect(&config.plugins_dir).await?;
    check::check(&config, &plugins)?;
    let world = World::new(&config, &plugins);
    let names = if which.is_empty() {
        let flows = FlowSet::load(&config.flows_dir).map_err(StartError::from)?;
        check_all(&world, &flows)?;
        flows.names().into_iter().map(str::to_owned).collect()
    } else {
        // What is wrong with the others is told when they are asked for.
        let (flows, _) = FlowSet::load_what_can_be(&config.flows_dir);
        check_files(&world, &config.flows_dir, flows, which)?
    };
    if global.json {
        println!("{}", json!({ "ok": true, "flows": names }));
    } else {
        names.iter().for_each(|name| println!("{name} is right"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The file that an argument means. Names have neither `/` nor an ending, and stand in a file of another name perhaps.
fn file_of(folder: &Path, flows: &FlowSet, what: &str) -> Result<PathBuf, FlowErrors> {
    let (own, file) = (Path::new(what), flow_files::file_of(folder, what));
    match flows.get(what) {
        _ if flow_files::is_file(what) => Ok(own.to_owned()),
        _ if file.is_file() => Ok(file),
        Ok(flow) => Ok(flow.file.clone().into()),
        Err(_) if own.is_file() => Ok(own.to_owned()),
        Err(unknown) => {
            let message = unknown.error.message.clone();
            let (file, field) = (folder.display().to_string(), String::new());
            Err(FlowErrors(vec![FlowError { file, line: 1, column: 1, field, message }]))
        }
    }
}

fn check_files(
    world: &World,
    folder: &Path,
    mut flows: FlowSet,
    which: &[String],
) -> Result<Vec<String>, FlowErrors> {
    let mut wrong = Vec::new();
    let mut names = Vec::new();
    for what in which {
        match file_of(folder, &flows, what).and_then(|file| FlowSet::read(&file)) {
            Ok(flow) => {
                names.push(flow.name.clone());
                flows.insert(flow);
            }
            Err(errors) => wrong.extend(errors.0),
        }
    }
    for flow in names.iter().filter_map(|name| flows.find(name)) {
        wrong.extend(check_one(flow, world, &flows).err().into_iter().flat_map(|errors| errors.0));
    }
    if wrong.is_empty() { Ok(names) } else { Err(FlowErrors(wrong)) }
}
