//! Elasticsearch, the real one, put together from its Maven artifacts by `recipes/elasticsearch`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::backend::{Backend, Site};
use super::install::{Skipped, cached, is_cached};
use super::probe::http_ok;
use crate::place::{cache, on_path, root};
use crate::run::{detached, logged};

pub struct Elasticsearch;

impl Backend for Elasticsearch {
    fn name(&self) -> &'static str {
        "elasticsearch"
    }

    fn variable(&self) -> &'static str {
        "CHASSIS_ELASTICSEARCH_URL"
    }

    fn usual_ports(&self) -> &'static [u16] {
        &[19200]
    }

    fn missing_packages(&self) -> Vec<&'static str> {
        let made = folder().and_then(|name| Ok(is_cached(&cache()?.join(name)))).unwrap_or(false);
        let needed: &[(&str, &str)] = if made {
            &[("java", "default-jre-headless")]
        } else {
            &[("javac", "default-jdk-headless"), ("mvn", "maven")]
        };
        needed.iter().filter(|(program, _)| on_path(program).is_none()).map(|(_, package)| *package).collect()
    }

    fn prepare(&self, _site: &Site) -> Result<()> {
        home().map(drop)
    }

    fn launch(&self, site: &Site, spawn: &mut dyn FnMut(Command) -> Result<()>) -> Result<()> {
        let mut command = detached("/bin/sh", &site.folder, &site.log)?;
        command.arg(recipe().join("run.sh")).args([&site.port().to_string(), "data"]);
        command.env("ES_HOME", home()?).env("ES_JAVA_OPTS", "-Xms256m -Xmx384m");
        spawn(command)
    }

    fn ready(&self, site: &Site) -> bool {
        http_ok(site.port(), "/_cluster/health?wait_for_status=yellow&timeout=1s")
    }

    fn url(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }
}

fn recipe() -> PathBuf {
    root().join("xtask/recipes/elasticsearch")
}

/// The server's home, after building it.
fn home() -> Result<PathBuf> {
    Ok(cached(&folder()?, make)?.join("home"))
}

fn folder() -> Result<String> {
    let file = recipe().join("pom.xml");
    let pom = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let (_, rest) = pom.split_once("<es.version>").context("pom.xml names no es.version")?;
    let (version, _) = rest.split_once('<').context("pom.xml names no es.version")?;
    Ok(format!("elasticsearch-{version}"))
}

fn make(folder: &Path) -> Result<()> {
    let mut command = Command::new("/bin/sh");
    command.arg(recipe().join("build.sh")).env("ES_HOME", folder.join("home"));
    logged("elasticsearch", "building it from Maven artifacts", &mut command, &folder.join("make.log"))
        .map_err(|error| Skipped(format!("{error:#}")).into())
}
