//! Takes up changed flows without a restart. Runs under way keep the version that they began with; a file that is wrong changes
//! nothing, and says so until it is right.

use super::App;
use crate::config::policy::Switch;
use crate::flow::FlowSet;
use crate::flow::check::{World, check_one};
use crate::flow::set::{FlowErrors, flow_name, is_flow};
use crate::triggers::Triggers;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tokio::task::JoinHandle;

/// The files of a folder, as far as it can be seen without reading them.
type Looks = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

impl App {
    /// Looks at the folder of flows again and again; none if the configuration says so.
    pub(super) fn keep_flows_fresh(&self, triggers: Triggers) -> Option<JoinHandle<()>> {
        let Switch::On(every) = self.config.flows_reload else { return None };
        let (engine, spans) = (self.engine.clone(), self.spans.clone());
        let folder = self.config.flows_dir.clone();
        let world = World::new(&self.config, self.registry.plugins());
        let mut known = look(&folder);
        Some(tokio::spawn(async move {
            let mut before = known.clone();
            loop {
                tokio::time::sleep(every.0).await;
                let now = look(&folder);
                // A file that is being written changes from look to look: it is read when it has come to rest.
                let rests = now == before;
                before.clone_from(&now);
                if !rests || now == known {
                    continue;
                }
                known = now;
                let flows = take_up(&engine.flows(), &folder, &world);
                spans.know(&flows);
                engine.set_flows(flows);
                triggers.follow(&engine.flows());
            }
        }))
    }
}

fn look(folder: &Path) -> Looks {
    let files = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let seen = files.filter(|path| is_flow(path)).map(|path| {
        // Through a link, as a mounted folder of settings has them.
        let found = std::fs::metadata(&path).ok();
        let stamp =
            (found.as_ref().and_then(|file| file.modified().ok()), found.map_or(0, |file| file.len()));
        (path, stamp)
    });
    seen.collect()
}

/// The flows of a folder as it is now; where a file is wrong, the flow that was there before, and what is wrong.
fn take_up(before: &FlowSet, folder: &Path, world: &World) -> FlowSet {
    let (mut flows, errors) = FlowSet::load_what_can_be(folder);
    let mut wrong = errors.0;
    // What cannot be read keeps its flow; a folder that cannot be read keeps all.
    for error in &wrong {
        if Path::new(&error.file) == folder {
            before.iter().for_each(|flow| flows.keep(flow));
        } else if let Some(old) = before.find(&flow_name(Path::new(&error.file))) {
            flows.keep(old);
        }
    }
    let all = flows.clone();
    let is_new = |name: &str, version: &str| before.find(name).is_none_or(|old| *old.version != *version);
    for flow in all.iter().filter(|flow| is_new(&flow.name, &flow.version)) {
        let Err(errors) = check_one(flow, world, &all) else { continue };
        wrong.extend(errors.0);
        flows.remove(&flow.name);
        before.find(&flow.name).into_iter().for_each(|old| flows.keep(old));
    }
    for flow in flows.iter().filter(|flow| is_new(&flow.name, &flow.version)) {
        let version = &flow.version[..flow.version.len().min(12)];
        tracing::info!(flow = flow.name, version, "taken up; runs under way keep what they began with");
    }
    for flow in before.iter().filter(|flow| flows.find(&flow.name).is_none()) {
        tracing::info!(flow = flow.name, "gone; runs under way keep it");
    }
    for error in &wrong {
        tracing::error!(%error, "a flow is not taken up, and stays as it was");
    }
    // What was right, and is not with the others as they are now: it runs another that is gone, or answers something else.
    for flow in flows.iter().filter(|flow| !is_new(&flow.name, &flow.version)) {
        let Err(errors) = check_one(flow, world, &flows) else { continue };
        if check_one(flow, world, before).is_ok() {
            for error in &errors.0 {
                tracing::error!(%error, "a flow no longer fits those that it runs, and will fail");
            }
            wrong.extend(errors.0);
        }
    }
    flows.with_problems(FlowErrors(wrong))
}
