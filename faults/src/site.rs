//! A place to break things in: a folder with configuration and flows, five stores, a journal.

use crate::host::Host;
use crate::stores::{Message, Stores, Urls};
use crate::verdict::{Run, State, Verdict, judge};
use crate::{journal, words};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Which servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Servers {
    /// Five SQLite files.
    Embedded,
    /// The six real servers.
    Real,
}

/// A place.
pub struct Site {
    folder: TempDir,
    /// Which servers it has.
    pub servers: Servers,
    /// Its stores.
    pub stores: Stores,
    /// Its journal.
    pub journal: journal::Place,
    /// So many users were asked for: each has an e-mail of its own.
    asked: u64,
}

/// What a site is made with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The flows' undo is taken out: then the check must find orphans.
    pub without_undo: bool,
    /// Where the servers are, if not where the environment says.
    pub urls: Option<Urls>,
    /// The journal stands in Postgres, for several hosts.
    pub shared_journal: bool,
    /// Anything more for the configuration.
    pub extra: String,
    /// How long a try may take.
    pub attempt_timeout: Option<Duration>,
    /// How many calls of one instance may be in flight, if not the policy's own number.
    pub bulkhead: Option<u32>,
}

/// A try that takes longer is given up: short, as the timeouts of the matrix are waited for.
const ATTEMPT: Duration = Duration::from_millis(400);
/// The longest that runs may take to end after a host has come back.
const RECOVERY: Duration = Duration::from_secs(120);

impl Site {
    /// Makes the folder and empties the stores. No host runs yet.
    pub async fn new(servers: Servers, options: &Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (stores, urls) = match servers {
            Servers::Embedded => (Stores::Embedded(folder.path().to_owned()), None),
            Servers::Real => {
                // The stores are read at the servers themselves, even where the host goes through a proxy.
                let own = Urls::from_environment()?;
                let seen = options.urls.clone().unwrap_or_else(|| own.clone());
                (Stores::Real(Box::new(own)), Some(seen))
            }
        };
        let journal = journal::Place::new(folder.path(), &stores, options.shared_journal)?;
        let attempt = options.attempt_timeout.unwrap_or(ATTEMPT);
        let bulkhead = options.bulkhead.map(|calls| format!("bulkhead = {calls}\n")).unwrap_or_default();
        let policy = format!("attempt_timeout = \"{}ms\"\n{bulkhead}", attempt.as_millis());
        let config = words::config(folder.path(), urls.as_ref(), &journal, &policy, &options.extra);
        std::fs::write(folder.path().join("host.toml"), config)?;
        words::write_flows(&folder.path().join("flows"), options.without_undo)?;
        stores.wipe().await?;
        journal.wipe().await?;
        Ok(Self { folder, servers, stores, journal, asked: 0 })
    }

    /// Starts a host, and prepares the stores if they are not.
    pub async fn host(&self, name: &str) -> Result<Host> {
        Host::start(&self.path("host.toml"), &self.path(&format!("{name}.log"))).await
    }

    /// Starts the first host: it also makes table, index and queue.
    pub async fn first_host(&self) -> Result<Host> {
        let host = self.host("host").await?;
        let (status, answer) = host.flow("setup", &json!({}), None).await?;
        ensure!(status == 200, "setup ended with {status}: {answer}\n{}", host.log_tail());
        Ok(host)
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The input for one more user.
    pub fn next_user(&mut self) -> Value {
        self.asked += 1;
        user(self.asked)
    }

    /// The runs of create-user, as the journal has them.
    pub async fn runs(&self) -> Result<Vec<Run>> {
        self.journal.runs("create-user").await
    }

    /// Waits until no run is open, then reads the stores and compares.
    pub async fn verdict(&self) -> Result<Verdict> {
        self.verdict_with(Vec::new()).await
    }

    /// The same where these messages were in the queue, and somebody read them.
    pub async fn verdict_with(&self, delivered: Vec<Message>) -> Result<Verdict> {
        let runs = self.settled().await?;
        let mut snapshot = self.stores.read().await.context("reading the stores")?;
        snapshot.messages.extend(delivered);
        Ok(judge(&snapshot, &runs))
    }

    /// Waits until no run is open, or for so long that none will end any more.
    pub async fn settled(&self) -> Result<Vec<Run>> {
        let begun = Instant::now();
        loop {
            let runs = self.runs().await?;
            let open = runs.iter().any(|run| run.state == State::Open);
            if !open || begun.elapsed() > RECOVERY {
                return Ok(runs);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where its log is, for a failure that a person wants to look into.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The input for a user of this number.
pub fn user(number: u64) -> Value {
    json!({
        "email": format!("user-{number}@example.org"), "username": format!("user-{number}"),
        "full_name": format!("User {number}"), "bio": "likes bad days", "preferences": { "theme": "dark" },
    })
}
