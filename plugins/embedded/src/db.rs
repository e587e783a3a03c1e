//! Connections, and what stops their work when a call is given up.

use crate::error;
use crate::hold::Hold;
use chassis_guest::tokio::sync::{OwnedSemaphorePermit, Semaphore};
use chassis_guest::{Context, Error};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnectOptions, SqliteQueryResult, SqliteRow};
use sqlx::{ConnectOptions, Connection, Either, Executor, SqliteConnection};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// After so many steps of SQLite's virtual machine a statement looks whether it was given up: well under a millisecond.
const STEPS: i32 = 1_000;

/// A statement with its values.
pub(crate) type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// Connections of one kind.
pub(crate) struct Lane {
    options: SqliteConnectOptions,
    hold: Arc<Hold>,
    max: u32,
    keep: bool,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Link>>,
}

/// A connection, and the flag that interrupts what it runs.
struct Link {
    connection: SqliteConnection,
    interrupt: Arc<AtomicBool>,
}

/// A connection in use. Dropped in the midst of its work, it interrupts the work and undoes its transaction.
pub(crate) struct Db {
    link: Option<Link>,
    lane: Arc<Lane>,
    permit: Option<OwnedSemaphorePermit>,
    context: Context,
    busy: bool,
    in_transaction: bool,
}

/// What a statement did.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) rows: Vec<SqliteRow>,
    pub(crate) changed: u64,
}

impl Lane {
    pub(crate) fn new(options: SqliteConnectOptions, hold: &Arc<Hold>, max: u32, keep: bool) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(max as usize));
        let (options, hold) = (options.disable_statement_logging(), hold.clone());
        Arc::new(Self { options, hold, max, keep, permits, idle: Mutex::default() })
    }

    /// A connection, as soon as one is free.
    pub(crate) async fn acquire(self: &Arc<Self>, context: &Context) -> Result<Db, Error> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::unavailable("the database is closed"))?;
        let idle = self.idle().pop();
        let link = match idle {
            Some(link) => link,
            None => self.connect().await.map_err(error::from)?,
        };
        Ok(Db {
            link: Some(link),
            lane: self.clone(),
            permit: Some(permit),
            context: context.clone(),
            busy: false,
            in_transaction: false,
        })
    }

    /// Connections in use and idle ones.
    pub(crate) fn usage(&self) -> (u32, u32) {
        let used =
            self.max - u32::try_from(self.permits.available_permits()).unwrap_or(self.max).min(self.max);
        (used, u32::try_from(self.idle().len()).unwrap_or(u32::MAX))
    }

    /// Closes the idle connections.
    pub(crate) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        for link in idle {
            // Nothing is lost by a connection that does not close well: every write is committed.
            let _ = link.connection.close().await;
        }
    }

    async fn connect(&self) -> sqlx::Result<Link> {
        let mut connection = self.options.connect().await?;
        let interrupt = Arc::new(AtomicBool::new(false));
        // The connection's thread lets go of the hold when it has closed the file, which is after the connection was dropped.
        let (flag, hold) = (interrupt.clone(), self.hold.clone());
        connection.lock_handle().await?.set_progress_handler(STEPS, move || {
            let _hold = &hold;
            !flag.load(Ordering::Relaxed)
        });
        Ok(Link { connection, interrupt })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Db {
    /// Runs a statement to its end.
    pub(crate) async fn run(&mut self, query: Query<'_>) -> sqlx::Result<Done> {
        self.busy = true;
        let result = self.gather(query).await;
        self.busy = false;
        result
    }

    /// Runs a statement of ours.
    pub(crate) async fn done(&mut self, query: Query<'_>) -> Result<Done, Error> {
        self.run(query).await.map_err(error::from)
    }

    /// Runs a statement of ours and answers its first row.
    pub(crate) async fn first(&mut self, query: Query<'_>) -> Result<Option<SqliteRow>, Error> {
        Ok(self.done(query).await?.rows.into_iter().next())
    }

    /// Runs a statement row by row. The connection is not used again.
    pub(crate) fn stream<'a>(
        &'a mut self,
        query: Query<'a>,
    ) -> Option<BoxStream<'a, sqlx::Result<Either<SqliteQueryResult, SqliteRow>>>> {
        self.busy = true;
        let link = self.link.as_mut()?;
        Some(link.connection.fetch_many(query))
    }

    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        // Set before it is sent: a rollback too many harms nothing.
        self.in_transaction = true;
        self.done(sqlx::query("BEGIN IMMEDIATE")).await.map(drop)
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        self.done(sqlx::query("COMMIT")).await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn gather(&mut self, query: Query<'_>) -> sqlx::Result<Done> {
        let Some(link) = self.link.as_mut() else { return Err(sqlx::Error::WorkerCrashed) };
        let mut done = Done::default();
        let mut results = link.connection.fetch_many(query);
        while let Some(result) = results.try_next().await? {
            match result {
                Either::Left(result) => done.changed += result.rows_affected(),
                Either::Right(row) => done.rows.push(row),
            }
        }
        Ok(done)
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        let Some(mut link) = self.link.take() else { return };
        let (lane, permit) = (self.lane.clone(), self.permit.take());
        if !lane.keep {
            link.interrupt.store(true, Ordering::Relaxed);
        } else if self.busy || self.in_transaction {
            link.interrupt.store(true, Ordering::Relaxed);
            self.context.spawn(async move {
                if link.settle().await.is_ok() {
                    lane.idle().push(link);
                }
                drop(permit);
            });
        } else {
            lane.idle().push(link);
        }
    }
}

impl Link {
    /// Waits for the end of what was interrupted, and undoes its transaction if there is one.
    async fn settle(&mut self) -> sqlx::Result<()> {
        self.connection.ping().await?;
        self.interrupt.store(false, Ordering::Relaxed);
        // Without a transaction this fails, and so it should.
        let _ = self.connection.execute("ROLLBACK").await;
        Ok(())
    }
}
