//! From settings to an open journal.

use super::lease::Lease;
use super::lock::{Holder, Lock};
use super::settings::Settings;
use super::store::{Store, StoreError};
use super::{Journal, MemoryStore, PostgresStore, SqliteStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another host has the file.
    #[error("the journal {} belongs to the host with process id {}, since {}{}", file.display(), holder.pid, holder.since, serving(holder))]
    Taken {
        /// The file.
        file: PathBuf,
        /// Who has it.
        holder: Holder,
    },
    /// Its folder or lock cannot be made.
    #[error("the journal {}: {error}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is there, and cannot be used.
    #[error("{}: {error}", file.display())]
    Database {
        /// The file.
        file: PathBuf,
        /// What SQLite says.
        error: StoreError,
    },
    /// The database does not open.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The address is none.
    #[error("`{0}` names no journal: write sqlite:FILE, postgres://… or memory")]
    Url(String),
}

/// Where a journal is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    Sqlite(PathBuf),
    /// In a database that several hosts share.
    Postgres(String),
    /// Nowhere.
    Memory,
}

impl Place {
    /// What a URL names.
    pub fn parse(url: &str) -> Result<Self, OpenError> {
        if url == "memory" {
            return Ok(Self::Memory);
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        match url.strip_prefix("sqlite:").map(|file| file.strip_prefix("//").unwrap_or(file)) {
            Some(file) if !file.is_empty() => Ok(Self::Sqlite(file.into())),
            // What is wrong may be the first half of an address with a password in the other.
            _ => Err(OpenError::Url(url.split(':').next().unwrap_or_default().to_owned())),
        }
    }

    /// Who has it, if that can be known and somebody has.
    pub fn holder(&self) -> Option<Holder> {
        match self {
            Self::Sqlite(file) => Lock::holder(file).ok().flatten(),
            Self::Postgres(_) | Self::Memory => None,
        }
    }
}

impl Settings {
    /// Where the journal is.
    pub fn place(&self) -> Result<Place, OpenError> {
        Place::parse(self.url.as_deref().unwrap_or("sqlite:data/journal.db"))
    }
}

impl Journal {
    /// Opens the journal that the settings name, or makes it.
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        let lease = Lease::new(&host_name(), settings.lease.0);
        Ok(match settings.place()? {
            Place::Memory => Self::with(Arc::new(MemoryStore::new()), lease, None),
            Place::Postgres(url) => Self::with(Arc::new(PostgresStore::open(&url).await?), lease, None),
            Place::Sqlite(file) => {
                let lock = take(&file)?;
                let store = SqliteStore::open(&file, settings.durability).await;
                let store: Arc<dyn Store> =
                    Arc::new(store.map_err(|error| OpenError::Database { file, error })?);
                Self::with(store, lease, Some(lock))
            }
        })
    }
}

fn take(file: &Path) -> Result<Lock, OpenError> {
    let failed = |error| OpenError::File { file: file.to_owned(), error };
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    Lock::take(file).map_err(failed)?.map_err(|holder| OpenError::Taken { file: file.to_owned(), holder })
}

fn serving(holder: &Holder) -> String {
    match &holder.address {
        Some(address) => {
            format!(", which serves on {address}: ask it, or choose another file with [journal] url")
        }
        None => "; wait until it has ended, or choose another file with [journal] url".to_owned(),
    }
}

/// This host, for a person.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME"));
    let name = name.unwrap_or_else(|_| "host".to_owned());
    format!("{}:{}", name.trim(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_it_is_or_is_refused() {
        assert_eq!(Place::parse("sqlite:data/j.db").unwrap(), Place::Sqlite("data/j.db".into()));
        assert_eq!(Place::parse("sqlite:///var/j.db").unwrap(), Place::Sqlite("/var/j.db".into()));
        assert_eq!(Place::parse("memory").unwrap(), Place::Memory);
        assert!(matches!(Place::parse("postgres://u:p@h/d").unwrap(), Place::Postgres(_)));
        for wrong in ["", "sqlite:", "mysql://x", "data/j.db"] {
            assert!(Place::parse(wrong).unwrap_err().to_string().contains("sqlite:FILE"), "{wrong}");
        }
        for wrong in ["postgress://u:hunter2@h/d", " postgres://u:hunter2@h/d", "Postgres:u:hunter2@h"] {
            let told = Place::parse(wrong).unwrap_err().to_string();
            assert!(told.contains("ostgres") && !told.contains("hunter2"), "{told}");
        }
    }
}
