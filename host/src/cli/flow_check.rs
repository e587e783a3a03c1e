//! `chassis flow check`

use super::{Exit, Global, flow_files};
use crate::app::StartError;
use crate::config::check;
use crate::flow::FlowSet;
use crate::flow::check::{World, check_all, check_one};
use crate::flow::set::FlowErrors;
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
        let files = which.iter().map(|what| file_of(&config.flows_dir, &flows, what));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        check_files(&world, flows, &files)?
    };
    if global.json {
        println!("{}", json!({ "ok": true, "flows": names }));
    } else {
        names.iter().for_each(|name| println!("{name} is right"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The file that an argument means. Names have neither `/` nor an ending; one may stand in a file of another name.
fn file_of(folder: &Path, flows: &FlowSet, what: &str) -> Result<PathBuf, Exit> {
    if flow_files::is_file(what) {
        return Ok(what.into());
    }
    let file = flow_files::file_of(folder, what);
    if file.is_file() { Ok(file) } else { Ok(flows.get(what)?.file.clone().into()) }
}

fn check_files(world: &World, mut flows: FlowSet, files: &[PathBuf]) -> Result<Vec<String>, FlowErrors> {
    let mut wrong = Vec::new();
    let mut names = Vec::new();
    for file in files {
        match FlowSet::read(file) {
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
