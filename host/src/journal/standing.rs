//! Whether the files of a journal are still where they were. SQLite goes on writing to one that was moved or deleted, and whoever starts
//! next finds nothing.

use std::io;
use std::path::{Path, PathBuf};

/// A database and its write-ahead log, as they were found. What was written last is in the log alone.
pub struct Standing([(PathBuf, Identity); 2]);

/// Device and number; another file of the same name has others.
type Identity = (u64, u64);

impl Standing {
    /// Of a database that is open, and was written.
    pub fn of(file: &Path) -> io::Result<Self> {
        let found = |file: PathBuf| identity(&file).map(|found| (file, found));
        Ok(Self([found(file.to_owned())?, found(log_of(file))?]))
    }

    /// Asks the system, which takes a microsecond for each.
    ///
    /// # Errors
    /// Another file stands there now, or none, or the system does not say.
    pub fn check(&self) -> Result<(), String> {
        self.0.iter().try_for_each(|(file, found)| {
            let shown = file.display();
            match identity(file) {
                Ok(now) if now == *found => Ok(()),
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("{shown}: {error}")),
                _ => Err(format!(
                    "{shown} was moved or deleted under this host: put it back; a host that starts without it has lost its runs"
                )),
            }
        })
    }
}

/// Refuses a database that is gone while its log is there: to open it makes a new one, and deletes what only the log has.
///
/// # Errors
/// It is so.
pub fn refuse_half(file: &Path) -> Result<(), String> {
    let size = |file: &Path| std::fs::metadata(file).map_or(0, |file| file.len());
    let log = log_of(file);
    if size(file) > 0 || size(&log) == 0 {
        return Ok(());
    }
    let (shown, log) = (file.display(), log.display());
    Err(format!(
        "{shown} is gone, and {log} has runs of it: put it back; or move {log} away, and its runs are lost"
    ))
}

/// SQLite's name for it.
fn log_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

#[cfg(unix)]
fn identity(file: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).map(|file| (file.dev(), file.ino()))
}

/// Elsewhere a file that is open stays where it is.
#[cfg(not(unix))]
fn identity(_: &Path) -> io::Result<Identity> {
    Ok((0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_went_away_is_missed_until_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let (file, away) = (folder.path().join("journal.db"), folder.path().join("away"));
        for file in [&file, &log_of(&file)] {
            std::fs::write(file, "the first").unwrap();
        }
        let standing = Standing::of(&file).unwrap();
        for file in [&file, &log_of(&file)] {
            standing.check().unwrap();
            std::fs::rename(file, &away).unwrap();
            let name = file.file_name().unwrap().to_string_lossy();
            assert!(standing.check().unwrap_err().contains(&format!("{name} was moved or deleted")));
            std::fs::write(file, "another").unwrap();
            assert!(standing.check().is_err(), "another file is not the one");
            std::fs::rename(&away, file).unwrap();
        }
        standing.check().unwrap();
    }

    #[test]
    fn a_log_without_its_database_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.db");
        refuse_half(&file).unwrap();
        std::fs::write(log_of(&file), "").unwrap();
        refuse_half(&file).unwrap();
        std::fs::write(log_of(&file), "the last runs").unwrap();
        assert!(refuse_half(&file).unwrap_err().contains("journal.db-wal has runs of it"));
        std::fs::write(&file, "").unwrap();
        assert!(refuse_half(&file).is_err(), "an empty file has nothing of it");
        std::fs::write(&file, "the database").unwrap();
        refuse_half(&file).unwrap();
    }
}
