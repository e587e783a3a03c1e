//! Scene 1: which plugins are loaded, and who plays which role.

use super::{Demo, ROLES};
use serde_json::json;
use std::collections::BTreeMap;

pub async fn play(demo: &mut Demo) {
    demo.screen.title("Plugins");
    let instances = demo.stage.host.instances();
    let mut plugins = BTreeMap::new();
    for instance in &instances {
        let manifest = &instance.manifest;
        plugins
            .entry(manifest.name.clone())
            .or_insert_with(|| (manifest.clone(), Vec::new()))
            .1
            .push(instance.name.clone());
    }
    let started_in = demo.stage.started_in.as_secs_f64() * 1e3;
    let missing: Vec<&str> = ROLES.into_iter().filter(|role| !demo.stage.roles.contains_key(*role)).collect();
    let count = plugins.len();
    demo.check("the plugins are loaded", async |_| match missing.is_empty() {
        true => Ok((
            (),
            format!(
                "{count} libraries, {} instances, the host started in {started_in:.1} ms",
                instances.len()
            ),
        )),
        false => Err(format!("nobody plays {}", missing.join(", "))),
    })
    .await;
    let mut listed = Vec::new();
    for (name, (manifest, instances)) in plugins {
        demo.screen.detail(&format!(
            "{name:14} {:8} {:2} operations of {:40} for {}",
            manifest.version,
            manifest.operations.len(),
            manifest.contracts.join(", "),
            instances.join(", "),
        ));
        listed.push(json!({ "name": name, "version": manifest.version, "instances": instances }));
    }
    demo.report.add_plugins(listed);
}
