//! The five stores, read directly: no plugin and no host is asked.

pub mod broker;
mod embedded;
mod real;
mod search;

use anyhow::Result;
use std::path::PathBuf;

/// Everything that create-user leaves, in all five.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Rows of the table.
    pub users: Vec<User>,
    /// Documents: the user's id, and the run that they name.
    pub preferences: Vec<(i64, String)>,
    /// Sessions, by the user's id.
    pub sessions: Vec<i64>,
    /// Entries of the search index, by the user's id.
    pub entries: Vec<i64>,
    /// Messages that wait, each as often as it is there.
    pub messages: Vec<Message>,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct User {
    /// The user's id.
    pub id: i64,
    /// The run that made it.
    pub run_id: String,
    /// Unique among all.
    pub email: String,
}

/// A message that waits.
#[derive(Clone, Debug)]
pub struct Message {
    /// The message's id, which names the run.
    pub message_id: String,
    /// Whose it is.
    pub user_id: i64,
}

/// Where the stores are.
#[derive(Clone, Debug)]
pub enum Stores {
    /// One SQLite file each, in this folder.
    Embedded(PathBuf),
    /// Real servers.
    Real(Box<Urls>),
}

/// The addresses of the real servers.
#[derive(Clone, Debug)]
pub struct Urls {
    /// The table.
    pub postgres: String,
    /// The documents.
    pub mongodb: String,
    /// The sessions.
    pub redis: String,
    /// The queue.
    pub rabbitmq: String,
    /// The index.
    pub elasticsearch: String,
}

/// The queue of create-user.
pub const QUEUE: &str = "welcome_messages";
/// Its collection.
pub const COLLECTION: &str = "user_preferences";
/// Its index.
pub const INDEX: &str = "users";
/// What the keys of its sessions begin with.
pub const SESSION: &str = "user_session:";

impl Stores {
    /// Reads all of it.
    pub async fn read(&self) -> Result<Snapshot> {
        match self {
            Self::Embedded(folder) => embedded::read(folder).await,
            Self::Real(urls) => real::read(urls).await,
        }
    }

    /// Takes away what earlier runs left, before anything begins.
    pub async fn wipe(&self) -> Result<()> {
        match self {
            // A folder of its own each time.
            Self::Embedded(_) => Ok(()),
            Self::Real(urls) => real::wipe(urls).await,
        }
    }
}

impl Urls {
    /// From the variables that `cargo xtask backends env` prints.
    pub fn from_environment() -> Result<Self> {
        let variable = |name: &str| {
            let name = format!("CHASSIS_{name}_URL");
            std::env::var(&name).map_err(|_| anyhow::anyhow!("{name} is not set: run `cargo xtask faults`"))
        };
        Ok(Self {
            postgres: variable("POSTGRES")?,
            mongodb: variable("MONGODB")?,
            redis: variable("REDIS")?,
            rabbitmq: variable("RABBITMQ")?,
            elasticsearch: variable("ELASTICSEARCH")?,
        })
    }
}
