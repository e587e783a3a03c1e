//! The contracts, each in a file of its own, and what each keeps in the database.

use crate::driver::Embedded;
use crate::{cache, queue, relational, search};
use chassis_guest::Operations;

/// Adds the operations of all five.
pub(crate) fn register(operations: &mut Operations<Embedded>) {
    operations.relational().documents().cache().queue().search();
}

/// What a contract keeps in the file. Its tables are made when it is first used, so that a file for one contract holds no other's.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Plain,
    Migrations,
    Cache,
    Queue,
    Search,
}

impl Part {
    /// Its tables.
    pub(crate) fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::Migrations => relational::TABLES,
            Self::Cache => cache::TABLES,
            Self::Queue => queue::TABLES,
            Self::Search => search::TABLES,
        }
    }
}
