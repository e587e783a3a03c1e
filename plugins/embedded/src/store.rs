//! The database file: opened when it is first needed, watched at every call, one connection that writes and a few that read.

use crate::config::Config;
use crate::db::{Db, Lane};
use crate::error;
use crate::hold::Hold;
use crate::ops::Part;
use chassis_guest::tokio::sync::Mutex as AsyncMutex;
use chassis_guest::{Context, Error, Pool};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// At most so many streams at once; each has a connection of its own, so that a slow reader takes none from the calls.
const STREAMS: u32 = 16;

/// The database of an instance.
pub(crate) struct Store {
    path: PathBuf,
    config: Config,
    context: Context,
    opened: RwLock<Option<Arc<Opened>>>,
    opening: AsyncMutex<()>,
    /// The file was there once: from then on a missing file is a backend that is away, and not one to make anew.
    seen: AtomicBool,
}

/// An opened file.
struct Opened {
    identity: Identity,
    writer: Arc<Lane>,
    readers: Arc<Lane>,
    streams: Arc<Lane>,
    parts: AtomicU8,
}

/// Device and inode: a file that was replaced is another one, whatever its name.
pub(crate) type Identity = (u64, u64);

impl Store {
    pub(crate) fn new(config: Config, context: Context) -> Self {
        Self {
            path: PathBuf::from(&config.path),
            config,
            context,
            opened: RwLock::new(None),
            opening: AsyncMutex::new(()),
            seen: AtomicBool::new(false),
        }
    }

    /// A connection to read with.
    pub(crate) async fn read(&self, part: Part) -> Result<Db, Error> {
        let opened = self.opened(part).await?;
        opened.readers.acquire(&self.context).await
    }

    /// The connection to write with: one call at a time.
    pub(crate) async fn write(&self, part: Part) -> Result<Db, Error> {
        let opened = self.opened(part).await?;
        opened.writer.acquire(&self.context).await
    }

    /// The same, in a transaction.
    pub(crate) async fn begin(&self, part: Part) -> Result<Db, Error> {
        let mut db = self.write(part).await?;
        db.begin().await?;
        Ok(db)
    }

    /// A connection for a reader that may be slow.
    pub(crate) async fn stream(&self) -> Result<Db, Error> {
        let opened = self.opened(Part::Plain).await?;
        opened.streams.acquire(&self.context).await
    }

    /// Whether a part was used since the file was opened.
    pub(crate) fn uses(&self, part: Part) -> bool {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        opened.as_ref().is_some_and(|opened| opened.parts.load(Ordering::Acquire) & (1 << part as u8) != 0)
    }

    /// How many connections there are.
    pub(crate) fn pool(&self) -> Pool {
        let max = self.config.readers + 1;
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (used, idle) = opened.map_or((0, 0), |opened| {
            let (writer, readers) = (opened.writer.usage(), opened.readers.usage());
            (writer.0 + readers.0, writer.1 + readers.1)
        });
        Pool { used, idle, max, pending: None }
    }

    /// Closes the idle connections and waits for their threads.
    pub(crate) async fn close(&self) {
        let opened = self.opened.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(opened) = opened {
            opened.readers.close().await;
            opened.writer.close().await;
        }
    }

    async fn opened(&self, part: Part) -> Result<Arc<Opened>, Error> {
        let opened = match self.current()? {
            Some(opened) => opened,
            None => self.open().await?,
        };
        opened.prepare(part, &self.context).await?;
        Ok(opened)
    }

    /// What is open, if it is still the file at the path.
    fn current(&self) -> Result<Option<Arc<Opened>>, Error> {
        let found = match identity(&self.path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == ErrorKind::NotFound && !self.seen.load(Ordering::Acquire) => None,
            Err(error) => {
                return Err(Error::unavailable("the database file is not there").caused_by(&error));
            }
        };
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        Ok(opened.as_ref().filter(|opened| Some(opened.identity) == found).cloned())
    }

    async fn open(&self) -> Result<Arc<Opened>, Error> {
        let _one_at_a_time = self.opening.lock().await;
        if let Some(opened) = self.current()? {
            return Ok(opened);
        }
        let first = !self.seen.load(Ordering::Acquire);
        if first {
            create(&self.path)
                .map_err(|error| Error::unavailable("the database file cannot be made").caused_by(&error))?;
        }
        let identity = identity(&self.path)
            .map_err(|error| Error::unavailable("the database file is not there").caused_by(&error))?;
        let hold = Hold::take(identity)?;
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(false)
            .foreign_keys(true)
            .busy_timeout(Duration::from_millis(self.config.busy_timeout_ms))
            .synchronous(SqliteSynchronous::Normal)
            .thread_name(|id| format!("sqlite-{id}"));
        // The first connection sets the journal mode; only then the others may come.
        let writes = options.clone().journal_mode(SqliteJournalMode::Wal);
        Lane::new(writes, &hold, 1, false).acquire(&self.context).await?;
        let reads = options.clone().pragma("query_only", "on");
        let opened = Arc::new(Opened {
            identity,
            writer: Lane::new(options, &hold, 1, true),
            readers: Lane::new(reads.clone(), &hold, self.config.readers.max(1), true),
            streams: Lane::new(reads, &hold, STREAMS, false),
            parts: AtomicU8::new(0),
        });
        self.seen.store(true, Ordering::Release);
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = Some(opened.clone());
        Ok(opened)
    }
}

impl Opened {
    async fn prepare(&self, part: Part, context: &Context) -> Result<(), Error> {
        let bit = 1 << part as u8;
        if matches!(part, Part::Plain) || self.parts.load(Ordering::Acquire) & bit != 0 {
            return Ok(());
        }
        let mut db = self.writer.acquire(context).await?;
        for statement in part.tables() {
            db.run(sqlx::query(*statement)).await.map_err(error::from)?;
        }
        self.parts.fetch_or(bit, Ordering::AcqRel);
        Ok(())
    }
}

/// Makes the file and its folder, if they are not there. SQLite takes an empty file for an empty database.
fn create(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).open(path).map(drop)
}

fn identity(path: &Path) -> std::io::Result<Identity> {
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}
