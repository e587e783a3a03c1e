//! A loaded plugin.

use crate::ffi::Table;
use crate::inspect::Inspected;
use crate::refusal::{Refusal, RefusalKind};
use crate::{generation, sanity};
use chassis_abi::manifest::Manifest;
use chassis_abi::{ChassisPlugin, SYMBOL};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many libraries one process loads. Each holds thread-local keys for ever, of which there are about 1,000.
pub const MAX_LOADS: u64 = 500;

/// What [`load`] is told.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Where the copies that are opened lie.
    pub generations_dir: PathBuf,
    /// Contracts that the host knows.
    pub known_contracts: Vec<String>,
}

/// A plugin whose library is open, for as long as the process lives.
pub struct Plugin {
    manifest: Arc<Manifest>,
    generation: u64,
    build_id: String,
    path: PathBuf,
    loaded_path: PathBuf,
    table: Table,
    // What a call needs of each operation, close together.
    operations: Box<[Traits]>,
}

#[derive(Clone, Copy)]
struct Traits {
    streams: bool,
    uploads: bool,
}

/// Copies a library to a path of its own, and opens it.
///
/// # Errors
/// A [`Refusal`] when a contract is not known, too many libraries were loaded, or the copy cannot be made or opened.
pub fn load(inspected: &Inspected, options: &LoadOptions) -> Result<Arc<Plugin>, Refusal> {
    let Inspected { path, manifest, abi, build_id, .. } = inspected;
    sanity::check_contracts(path, manifest, &options.known_contracts)?;
    let generation = next_generation(path)?;
    let loaded_path =
        generation::write(path, &inspected.contents()?, &options.generations_dir, generation, build_id)?;
    let table = open(&loaded_path).map_err(|error| {
        let advice = "install what the library needs, or build it on a system like this one";
        Refusal::new(
            RefusalKind::OpenFailed,
            path,
            format!("`{}`", innermost(&error)),
            "a library that opens",
            advice,
        )
    })?;
    // SAFETY: the table is the one of the library just opened, which is never closed.
    let table = unsafe { Table::read(table, *abi) }.map_err(|found| {
        let advice = "build the plugin again with the SDK of this host";
        Refusal::new(
            RefusalKind::BadTable,
            path,
            found,
            "a whole table that agrees with the manifest",
            advice,
        )
    })?;
    let operations =
        manifest.operations.iter().map(|op| Traits { streams: op.item.is_some(), uploads: op.upload });
    Ok(Arc::new(Plugin {
        generation,
        build_id: build_id.clone(),
        path: path.clone(),
        loaded_path,
        table,
        operations: operations.collect(),
        manifest: Arc::clone(manifest),
    }))
}

impl Plugin {
    /// What it says of itself.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Which load of this process it is; counts from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The first 16 hexadecimal digits of the file's SHA-256.
    pub fn build_id(&self) -> &str {
        &self.build_id
    }

    /// The file it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The copy that is open.
    pub fn loaded_path(&self) -> &Path {
        &self.loaded_path
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn answers_with_stream(&self, operation: u32) -> bool {
        self.operations.get(operation as usize).is_some_and(|op| op.streams)
    }

    /// Whether the operation takes an upload; `None` when there is no such operation.
    pub(crate) fn takes_upload(&self, operation: u32) -> Option<bool> {
        self.operations.get(operation as usize).map(|op| op.uploads)
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, build_id, path, .. } = self;
        write!(
            f,
            "Plugin({} generation {generation} build {build_id} from {})",
            self.manifest.name,
            path.display()
        )
    }
}

fn next_generation(path: &Path) -> Result<u64, Refusal> {
    static LOADS: AtomicU64 = AtomicU64::new(0);
    let next = |loads| (loads < MAX_LOADS).then_some(loads + 1);
    match LOADS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
        Ok(before) => Ok(before + 1),
        Err(loads) => Err(Refusal::new(
            RefusalKind::TooManyLoads,
            path,
            format!("{loads} libraries loaded by this process"),
            format!("at most {MAX_LOADS}, as a library is never closed"),
            "restart the host to load more",
        )),
    }
}

/// What the system's loader itself says.
fn innermost(error: &dyn std::error::Error) -> &dyn std::error::Error {
    error.source().map_or(error, innermost)
}

fn open(path: &Path) -> Result<*const ChassisPlugin, libloading::Error> {
    // SAFETY: the file was inspected: it is a plugin for this boundary, trusted by whoever put it into the folder.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL)? };
    // SAFETY: the boundary says that the symbol is a table; only its address is taken here.
    let table = unsafe { library.get::<*const ChassisPlugin>(SYMBOL.as_bytes()) }
        .map(libloading::os::unix::Symbol::into_raw);
    // Never closed: function pointers of it go wherever calls, wakers and byte buffers go.
    std::mem::forget(library);
    table.map(|address| address.cast_const().cast())
}
