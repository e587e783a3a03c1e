//! `[journal]` of the configuration.

use crate::config::units::Span;
use serde::{Deserialize, Serialize};

/// Where the journal is, and how long it keeps what.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `sqlite:FILE` for one host, `postgres://…` for several that share it, `memory` for one that need not survive. By default
    /// the file `journal.db` in the folder that `CHASSIS_DATA` names, else in `data`.
    pub url: Option<String>,
    /// How long a run is kept after its end. As long as it is kept its key is known.
    pub keep: Span,
    /// What a SQLite journal survives. Postgres has settings of its own.
    pub durability: Durability,
    /// How long after its last sign of life a host loses its runs to others.
    pub lease: Span,
}

/// What a journal survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The death of the host, however sudden. What was written in the last moments before the whole machine lost its power may
    /// be missing.
    #[default]
    Process,
    /// The machine's loss of power too: every commit waits for the disk.
    Power,
}

const WEEK: u64 = 7 * 24 * 3_600;

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: None,
            keep: Span::secs(WEEK),
            durability: Durability::default(),
            lease: Span::millis(3_500),
        }
    }
}
