//! One host a file: a lock beside the journal, with a note of who has it.

use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Who has a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// When it took it, in RFC 3339.
    pub since: String,
    /// Where it serves, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// The right to write to a journal's file. Ends with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    file: Mutex<File>,
    holder: Holder,
}

impl Lock {
    /// Takes the lock of a journal; `Err(Some(…))` says who has it.
    pub fn take(journal: &Path) -> io::Result<Result<Self, Holder>> {
        let mut file = open(&path(journal))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(read(&mut file))),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let since = crate::flow::clock::text(crate::flow::clock::now());
        let lock =
            Self { file: Mutex::new(file), holder: Holder { pid: std::process::id(), since, address: None } };
        lock.note(&lock.holder)?;
        Ok(Ok(lock))
    }

    /// Who has a journal, if somebody has.
    pub fn holder(journal: &Path) -> io::Result<Option<Holder>> {
        let mut file = match File::open(path(journal)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(read(&mut file))),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Notes where its holder can be asked.
    pub fn serves(&self, address: &str) {
        let holder = Holder { address: Some(address.to_owned()), ..self.holder.clone() };
        if let Err(error) = self.note(&holder) {
            tracing::warn!(%error, "the journal's lock does not say where this host serves");
        }
    }

    /// Gives it back.
    pub fn release(&self) {
        let _ = self.file.lock().unwrap_or_else(PoisonError::into_inner).unlock();
    }

    fn note(&self, holder: &Holder) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&serde_json::to_vec(holder)?)
    }
}

fn path(journal: &Path) -> PathBuf {
    let mut path = journal.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// What cannot be read is a holder that has not said who it is yet.
fn read(file: &mut File) -> Holder {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    serde_json::from_str(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_and_says_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.db");
        assert_eq!(Lock::holder(&journal).unwrap(), None);
        let lock = Lock::take(&journal).unwrap().unwrap();
        lock.serves("127.0.0.1:7700");
        let holder = Lock::take(&journal).unwrap().unwrap_err();
        assert_eq!((holder.pid, holder.address.as_deref()), (std::process::id(), Some("127.0.0.1:7700")));
        assert_eq!(Lock::holder(&journal).unwrap(), Some(holder));
        lock.release();
        assert_eq!(Lock::holder(&journal).unwrap(), None);
        assert!(Lock::take(&journal).unwrap().is_ok());
    }
}
