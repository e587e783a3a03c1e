//! The folder of plugins: what is in it, what is refused, what is loaded.

use crate::config::Problem;
use chassis_abi::manifest::Manifest;
use chassis_loader::{Inspected, LoadOptions, Plugin, Refusal};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Contracts that this host knows.
pub const CONTRACTS: &[&str] = &["relational", "documents", "cache", "queue", "search", "http", "objects"];

/// A library of the folder that may be loaded.
#[derive(Clone)]
pub struct Available {
    /// What its file says.
    pub inspected: Inspected,
    /// The loaded library, if an instance needs it.
    pub plugin: Option<Arc<Plugin>>,
    /// How long it took to inspect and load.
    pub took: Duration,
}

/// A library of the folder that is not loaded.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// In one word.
    pub kind: String,
    /// What was found, what was expected, and what to do.
    pub message: String,
}

/// All libraries of a folder.
#[derive(Clone, Default)]
pub struct Plugins {
    /// Those that may be loaded, by the plugin's name.
    pub available: BTreeMap<String, Available>,
    /// Those that are refused.
    pub refused: Vec<Refused>,
}

impl Plugins {
    /// Reads every library's file, side by side. None of their code runs.
    pub async fn inspect(folder: &Path) -> Result<Self, Problem> {
        let paths = libraries(folder).map_err(|error| {
            Problem::new(format!("the folder of plugins {} cannot be read: {error}", folder.display()))
                .field("plugins_dir")
                .advice("build the plugins, and name their folder by `plugins_dir` or CHASSIS_PLUGINS_DIR")
        })?;
        let mut looks = JoinSet::new();
        for path in paths {
            looks.spawn_blocking(move || {
                let begun = Instant::now();
                (chassis_loader::inspect(&path), begun.elapsed())
            });
        }
        let mut plugins = Self::default();
        let mut looked = looks.join_all().await;
        // In a fixed order, whichever look ended first.
        looked.sort_by_key(|(found, _)| match found {
            Ok(inspected) => inspected.path.clone(),
            Err(refusal) => refusal.path().to_owned(),
        });
        for (found, took) in looked {
            match found {
                Ok(inspected) => plugins.add(inspected, took),
                Err(refusal) => plugins.refuse(&refusal),
            }
        }
        Ok(plugins)
    }

    /// Loads those of these names, side by side.
    ///
    /// Copies of what is open lie in `generations_dir`, in a folder of this process.
    pub async fn load(&mut self, names: impl IntoIterator<Item = &str>, generations_dir: PathBuf) {
        let known_contracts: Vec<String> = CONTRACTS.iter().map(|name| (*name).to_owned()).collect();
        let options = Arc::new(LoadOptions { generations_dir, known_contracts });
        let mut loads = JoinSet::new();
        for name in names {
            if let Some(available) = self.available.get(name).filter(|available| available.plugin.is_none()) {
                let (inspected, options) = (available.inspected.clone(), options.clone());
                loads.spawn_blocking(move || {
                    let begun = Instant::now();
                    let loaded = chassis_loader::load(&inspected, &options);
                    (inspected.manifest.name.clone(), loaded, begun.elapsed())
                });
            }
        }
        let loaded = loads.join_all().await;
        // Those that no instance needs would hold their whole files in memory.
        self.available.values().for_each(|available| available.inspected.forget_contents());
        for (name, loaded, took) in loaded {
            match loaded {
                Ok(plugin) => {
                    if let Some(available) = self.available.get_mut(&name) {
                        available.plugin = Some(plugin);
                        available.took += took;
                    }
                }
                Err(refusal) => {
                    self.available.remove(&name);
                    self.refuse(&refusal);
                }
            }
        }
    }

    /// Removes the copies of what was loaded, at the end of the host. What is mapped stays mapped, and the folder itself is
    /// removed by the next process that loads.
    pub fn remove_copies(&self) {
        for plugin in self.available.values().filter_map(|available| available.plugin.as_ref()) {
            let _ = std::fs::remove_file(plugin.loaded_path());
        }
    }

    /// The manifest of a plugin.
    pub fn manifest(&self, name: &str) -> Option<&Arc<Manifest>> {
        self.available.get(name).map(|available| &available.inspected.manifest)
    }

    fn add(&mut self, inspected: Inspected, took: Duration) {
        let name = inspected.manifest.name.clone();
        if let Some(first) = self.available.get(&name) {
            let first = first.inspected.path.display();
            let message = format!(
                "{} is refused (duplicate): found another plugin `{name}`, expected only that of {first}; remove one of both",
                inspected.path.display()
            );
            tracing::warn!(path = %inspected.path.display(), kind = "duplicate", message, "plugin refused");
            self.refused.push(Refused { path: inspected.path, kind: "duplicate".to_owned(), message });
        } else {
            self.available.insert(name, Available { inspected, plugin: None, took });
        }
    }

    fn refuse(&mut self, refusal: &Refusal) {
        let (path, kind, message) =
            (refusal.path().to_owned(), refusal.kind().to_string(), refusal.to_string());
        tracing::warn!(path = %path.display(), kind, message, "plugin refused");
        self.refused.push(Refused { path, kind, message });
    }
}

fn libraries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let extension = std::env::consts::DLL_EXTENSION;
    let entries = std::fs::read_dir(folder)?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect())
}
