//! `chassis flow check`

use super::{Exit, Global};
use crate::app::StartError;
use crate::config::check;
use crate::flow::FlowSet;
use crate::flow::check::{World, check_all, check_one};
use crate::flow::set::FlowErrors;
use crate::registry::Plugins;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Checks these files among the profile's flows; without files, all of the profile's.
pub(super) async fn run(global: &Global, files: &[PathBuf]) -> Result<ExitCode, Exit> {
    let config = global.load()?;
    let plugins = Plugins::inspect(&config.plugins_dir).await?;
    check::check(&config, &plugins)?;
    let world = World::new(&config, &plugins);
    let names = if files.is_empty() {
        let flows = FlowSet::load(&config.flows_dir).map_err(StartError::from)?;
        check_all(&world, &flows)?;
        flows.names().into_iter().map(str::to_owned).collect()
    } else {
        // What is wrong with the others is told when they are asked for.
        let (flows, _) = FlowSet::load_what_can_be(&config.flows_dir);
        check_files(&world, flows, files)?
    };
    if global.json {
        println!("{}", json!({ "ok": true, "flows": names }));
    } else {
        names.iter().for_each(|name| println!("{name} is right"));
    }
    Ok(ExitCode::SUCCESS)
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
