//! Connections, and what stops the server's work when a call is given up.

use crate::config::Config;
use crate::error::{self, Sent};
use chassis_guest::tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use chassis_guest::tokio::time::timeout;
use chassis_guest::{Code, Context, Error, Level, Pool as Usage};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgQueryResult, PgRow};
use sqlx::{ConnectOptions, Connection, Either, Execute, Executor, PgConnection, Row};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A connection that was not used for so long is asked for a sign of life first.
const STALE: Duration = Duration::from_secs(10);

/// How long the server may take to stop a statement; then its connection is closed all the same.
const CANCEL: Duration = Duration::from_secs(2);

/// A statement with its values.
pub(crate) type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, PgArguments>;

/// The connections of an instance.
pub(crate) struct Pool {
    options: PgConnectOptions,
    config: Config,
    context: Context,
    permits: Arc<Semaphore>,
    pending: AtomicU32,
    idle: Mutex<Vec<Link>>,
    /// The connection that stops others' statements; made when it is first needed.
    control: AsyncMutex<Option<PgConnection>>,
}

/// A connection.
struct Link {
    connection: PgConnection,
    process: i32,
    used: Instant,
}

/// A connection in use. Dropped in the midst of its work, it has the server stop the work, and is closed.
pub(crate) struct Db {
    link: Option<Link>,
    pool: Arc<Pool>,
    permit: Option<OwnedSemaphorePermit>,
    busy: bool,
    lost: bool,
    in_transaction: bool,
}

/// What a statement did.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) rows: Vec<PgRow>,
    pub(crate) changed: u64,
}

impl Pool {
    pub(crate) fn new(config: Config, context: Context) -> Result<Arc<Self>, Error> {
        let options = config.options(context.instance())?.disable_statement_logging();
        let permits = Arc::new(Semaphore::new(config.pool_size as usize));
        Ok(Arc::new(Self {
            options,
            config,
            context,
            permits,
            pending: AtomicU32::new(0),
            idle: Mutex::default(),
            control: AsyncMutex::new(None),
        }))
    }

    /// A connection, as soon as one is free.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Result<Db, Error> {
        let permit = self.permit().await?;
        let idle = self.idle().pop();
        let link = match idle {
            Some(link) if link.used.elapsed() < STALE => link,
            Some(link) => match self.alive(link).await {
                Some(link) => link,
                None => self.connect().await?,
            },
            None => self.connect().await?,
        };
        Ok(Db {
            link: Some(link),
            pool: self.clone(),
            permit: Some(permit),
            busy: false,
            lost: false,
            in_transaction: false,
        })
    }

    pub(crate) fn usage(&self) -> Usage {
        let max = self.config.pool_size;
        let free = u32::try_from(self.permits.available_permits()).unwrap_or(max);
        Usage {
            used: max.saturating_sub(free),
            idle: u32::try_from(self.idle().len()).unwrap_or(u32::MAX),
            max,
            pending: Some(self.pending.load(Ordering::Relaxed)),
        }
    }

    /// Takes its leave of the server.
    pub(crate) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle()).into_iter().map(|link| link.connection);
        let farewells = async {
            join_all(idle.map(Connection::close)).await;
            if let Some(control) = self.control.lock().await.take() {
                let _ = control.close().await;
            }
        };
        // A server that is gone need not be told, and one that does not listen is not told one connection after the other.
        let _ = timeout(CANCEL, farewells).await;
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = Waiting::new(&self.pending);
        let wait = Duration::from_millis(self.config.acquire_timeout_ms);
        match timeout(wait, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Error::unavailable("the instance is closed")),
            Err(_) => {
                let message = format!("no connection of {} became free in time", self.config.pool_size);
                Err(Error::new(Code::ResourceExhausted, message))
            }
        }
    }

    async fn connect(&self) -> Result<Link, Error> {
        let wait = Duration::from_millis(self.config.connect_timeout_ms);
        let link = timeout(wait, async {
            let mut connection = self.options.connect().await?;
            let process = connection.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)?;
            // From version 14 on the server looks itself whether its client is still there; an older one says no, and that is all.
            let _ = connection.execute("SET client_connection_check_interval = '5s'").await;
            Ok(Link { connection, process, used: Instant::now() })
        });
        match link.await {
            Ok(link) => link.map_err(|cause| error::from(cause, Sent::Harmless)),
            Err(_) => Err(Error::unavailable("no connection to the server in time")),
        }
    }

    async fn alive(&self, mut link: Link) -> Option<Link> {
        let answered = timeout(Duration::from_secs(1), link.connection.ping()).await;
        if matches!(answered, Ok(Ok(()))) { Some(link) } else { None }
    }

    /// Has the server stop what a connection does.
    async fn cancel(&self, process: i32) -> sqlx::Result<()> {
        let mut control = self.control.lock().await;
        // Taken out while it is in use: one that is given up in the midst is not used again.
        let mut connection = match control.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        sqlx::query("SELECT pg_cancel_backend($1)").bind(process).execute(&mut connection).await?;
        *control = Some(connection);
        Ok(())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Db {
    /// Runs a statement to its end.
    pub(crate) async fn run(&mut self, mut query: Query<'_>) -> sqlx::Result<Done> {
        let values = query.take_arguments().map_err(sqlx::Error::Encode)?.unwrap_or_default();
        let sql = query.sql();
        self.busy = true;
        let mut result = self.gather(sqlx::query_with(sql.clone(), values.clone())).await;
        if result.as_ref().err().is_some_and(error::is_stale) && !self.in_transaction {
            // The table has other columns by now; nothing was done yet.
            result = match self.connection()?.clear_cached_statements().await {
                Ok(()) => self.gather(sqlx::query_with(sql, values)).await,
                Err(gone) => Err(gone),
            };
        }
        self.settle(result)
    }

    /// Runs a statement of ours.
    pub(crate) async fn done(&mut self, query: Query<'_>, sent: Sent) -> Result<Done, Error> {
        // What is not committed is taken back by the server when the connection is lost.
        let sent = if self.in_transaction { Sent::Harmless } else { sent };
        self.run(query).await.map_err(|cause| error::from(cause, sent))
    }

    /// Runs statements without values, as one text.
    pub(crate) async fn script(&mut self, sql: &str) -> sqlx::Result<()> {
        self.busy = true;
        let result = match self.connection() {
            Ok(connection) => connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.map(drop),
            Err(gone) => Err(gone),
        };
        self.settle(result)
    }

    /// Runs a statement row by row; [`Db::settle`] must follow.
    pub(crate) fn stream<'a>(
        &'a mut self,
        query: Query<'a>,
    ) -> sqlx::Result<BoxStream<'a, sqlx::Result<Either<PgQueryResult, PgRow>>>> {
        self.busy = true;
        Ok(self.connection()?.fetch_many(query))
    }

    /// Notes that the work is at its end, and how it ended.
    pub(crate) fn settle<T>(&mut self, result: sqlx::Result<T>) -> sqlx::Result<T> {
        self.busy = false;
        if let Err(cause) = &result {
            if error::is_lost(cause) {
                // Whatever ended this connection has most likely ended those that wait as well.
                self.pool.idle().clear();
            }
            self.lost |= error::is_lost(cause) || error::is_stale(cause);
        }
        result
    }

    /// The types of a statement's values and the connection they hold for.
    pub(crate) async fn prepare(&mut self, sql: &str) -> sqlx::Result<sqlx::postgres::PgStatement> {
        self.busy = true;
        let result = match self.connection() {
            Ok(connection) => {
                connection.prepare(sqlx::SqlSafeStr::into_sql_str(sqlx::AssertSqlSafe(sql))).await
            }
            Err(gone) => Err(gone),
        };
        self.settle(result)
    }

    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        self.in_transaction = true;
        self.script("BEGIN").await.map_err(|cause| error::from(cause, Sent::Harmless))
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        self.script("COMMIT").await.map_err(|cause| error::from(cause, Sent::Write))?;
        self.in_transaction = false;
        Ok(())
    }

    pub(crate) async fn rollback(&mut self) {
        // A connection that cannot roll back is closed, and the server rolls back.
        if !self.lost && self.script("ROLLBACK").await.is_ok() {
            self.in_transaction = false;
        }
    }

    async fn gather(&mut self, query: Query<'_>) -> sqlx::Result<Done> {
        let mut done = Done::default();
        let mut results = self.connection()?.fetch_many(query);
        while let Some(result) = results.try_next().await? {
            match result {
                Either::Left(result) => done.changed += result.rows_affected(),
                Either::Right(row) => done.rows.push(row),
            }
        }
        Ok(done)
    }

    fn connection(&mut self) -> sqlx::Result<&mut PgConnection> {
        self.link.as_mut().map(|link| &mut link.connection).ok_or(sqlx::Error::WorkerCrashed)
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        let Some(mut link) = self.link.take() else { return };
        if self.lost || self.pool.permits.is_closed() {
            return;
        }
        if !self.busy && !self.in_transaction {
            link.used = Instant::now();
            self.pool.idle().push(link);
            return;
        }
        let (pool, permit, busy) = (self.pool.clone(), self.permit.take(), self.busy);
        self.pool.context.spawn(async move {
            if busy && !matches!(timeout(CANCEL, pool.cancel(link.process)).await, Ok(Ok(()))) {
                let fields = [("process", link.process.into())];
                pool.context.log(Level::Debug, "a statement that was given up could not be stopped", fields);
            }
            // Closed only now: until then the process is known to be this connection's.
            drop(link);
            drop(permit);
        });
    }
}

/// A call that waits for a connection.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
