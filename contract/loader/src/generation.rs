//! Where loaded libraries lie: each load has a copy of its own. A file that was replaced in place would run old code, or
//! crash the process.
//!
//! `<generations_dir>/<pid>-<nanoseconds>/` belongs to one process, which holds its file `lock` locked: whoever gets the lock
//! knows that the owner is dead, and removes the folder. The copies of a living process stay, as backtraces, profilers and
//! `/proc/<pid>/maps` refer to them by name.

use crate::refusal::Refusal;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes a copy for one load and returns its path.
pub(crate) fn write(
    source: &Path,
    contents: &[u8],
    dir: &Path,
    generation: u64,
    build_id: &str,
) -> Result<PathBuf, Refusal> {
    let ours = own_folder(dir)
        .map_err(|error| Refusal::io(source, &format!("making a folder in {}", dir.display()), &error))?;
    let stem = source.file_stem().unwrap_or_default().to_string_lossy();
    let extension = source.extension().unwrap_or_default().to_string_lossy();
    let path = ours.join(format!("{stem}-{generation}-{build_id}.{extension}"));
    fs::write(&path, contents)
        .map_err(|error| Refusal::io(source, &format!("copying it to {}", path.display()), &error))?;
    Ok(path)
}

/// Folders of this process, with their locks, by the folder they lie in.
static FOLDERS: Mutex<Option<HashMap<PathBuf, (PathBuf, File)>>> = Mutex::new(None);

fn own_folder(dir: &Path) -> io::Result<PathBuf> {
    private().recursive(true).create(dir)?;
    let dir = dir.canonicalize()?;
    let mut folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    let folders = folders.get_or_insert_default();
    // Whoever removed the folder below our feet gets a new one made.
    if let Some((folder, _)) = folders.get(&dir).filter(|(folder, _)| folder.is_dir()) {
        return Ok(folder.clone());
    }
    remove_stale(&dir);
    let (folder, lock) = new_folder(&dir)?;
    folders.insert(dir, (folder.clone(), lock));
    Ok(folder)
}

fn new_folder(dir: &Path) -> io::Result<(PathBuf, File)> {
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let folder = dir.join(format!("{}-{now}", std::process::id()));
        private().create(&folder)?;
        refuse_if_shared(dir, &folder)?;
        let lock_path = folder.join("lock");
        let locked = File::create(&lock_path).and_then(|lock| lock.lock().map(|()| lock));
        // Another process may have taken the folder for a dead one's before the lock was held.
        match locked {
            Ok(lock) if lock_path.exists() => return Ok((folder, lock)),
            Err(error) if folder.exists() => return Err(error),
            _ => {}
        }
    }
}

/// Makes folders that only their owner may enter: what lies in them is run.
fn private() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Another user who may write to `dir` could put a library of his own in the place of ours.
#[cfg(unix)]
fn refuse_if_shared(dir: &Path, ours: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let (around, own) = (fs::metadata(dir)?, fs::metadata(ours)?);
    let strangers = around.uid() != own.uid() && around.uid() != 0;
    let open = around.mode() & OTHERS_WRITE != 0 && around.mode() & STICKY == 0;
    if !strangers && !open {
        return Ok(());
    }
    // It is empty: removing it can only fail if it is gone.
    let _ = fs::remove_dir(ours);
    let why = "other users may write to it; set `generations_dir` to a folder of your own";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

#[cfg(not(unix))]
fn refuse_if_shared(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes what dead processes left. What cannot be removed harms nobody.
fn remove_stale(dir: &Path) {
    for folder in fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let Ok(lock) = File::open(folder.join("lock")) else { continue };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(&folder);
        }
    }
}
