//! The tables of the journal, the same in both databases.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Brings a database to this build's tables. A later build adds to the list and changes nothing in it.
pub fn migrator() -> Migrator {
    let migration = |version, name: &'static str, text: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    let mut migrator =
        Migrator::with_migrations(vec![migration(1, "journal", include_str!("migrations/0001_journal.sql"))]);
    // The journal may share a database with others that keep such a table.
    migrator.dangerous_set_table_name("chassis_journal_migrations");
    migrator
}
