//! Whether a file is still where it was. SQLite goes on writing to one that was moved or deleted, and whoever starts next finds nothing.

use super::store::StoreError;
use std::path::{Path, PathBuf};

/// A file as it was found.
pub struct Standing {
    file: PathBuf,
    found: Option<Identity>,
}

/// Device and number; another file of the same name has others.
type Identity = (u64, u64);

impl Standing {
    /// Of a file that is open.
    pub fn of(file: &Path) -> Self {
        Self { file: file.to_owned(), found: identity(file) }
    }

    /// Asks the system, which takes a microsecond: before each transaction, so that nothing is taken for durable that nobody will find.
    ///
    /// # Errors
    /// Another file stands there now, or none.
    pub fn check(&self) -> Result<(), StoreError> {
        if identity(&self.file) == self.found {
            return Ok(());
        }
        let file = self.file.display();
        let reason =
            format!("{file} was moved or deleted under this host: put it back, or start the host again");
        Err(StoreError::of("write", reason))
    }
}

#[cfg(unix)]
fn identity(file: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Option<Identity> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_went_away_is_missed_until_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let (file, away) = (folder.path().join("journal.db"), folder.path().join("away.db"));
        std::fs::write(&file, "the first").unwrap();
        let standing = Standing::of(&file);
        standing.check().unwrap();
        std::fs::rename(&file, &away).unwrap();
        assert!(standing.check().unwrap_err().to_string().contains("journal.db was moved or deleted"));
        std::fs::write(&file, "another").unwrap();
        assert!(standing.check().is_err(), "another file is not the one");
        std::fs::rename(&away, &file).unwrap();
        standing.check().unwrap();
    }
}
