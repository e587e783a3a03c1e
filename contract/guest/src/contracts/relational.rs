//! `relational`: tables, by SQL or by table and key. Placeholders are `$1`, `$2`, …

use super::{Batch, BatchOutput, Object};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

crate::contract! {
    /// Tables, by SQL or by table and key.
    pub trait Relational = "relational", kind = Database {
        /// Runs a query and answers its rows.
        unary query(Statement) -> Rows { effect: Read, idempotent: true, query_text: "/sql" }
        /// Runs a query and streams its rows.
        stream query_stream(Statement) -> Object { effect: Read, idempotent: true, query_text: "/sql" }
        /// Runs one statement.
        unary execute(Statement) -> Affected { effect: Write, query_text: "/sql" }
        /// Runs several statements in one transaction: all of them or none.
        unary transaction(Transaction) -> TransactionOutput { effect: Write }
        /// Applies the migrations that were not applied yet, in order of version, each in a transaction.
        unary migrate(Migrate) -> Migrated { effect: Write, idempotent: true }
        /// Inserts a row; a taken key is `already_exists`.
        unary insert(Insert) -> Row { effect: Write, batched_by: "insert_many", target: "/table" }
        /// Inserts many rows at once.
        unary insert_many(Batch<Insert>) -> BatchOutput<Row> { effect: Write }
        /// Inserts a row, or changes the one with the same key.
        unary upsert(Upsert) -> Row { effect: Write, idempotent: true, batched_by: "upsert_many", target: "/table" }
        /// Upserts many rows at once.
        unary upsert_many(Batch<Upsert>) -> BatchOutput<Row> { effect: Write, idempotent: true }
        /// Changes the rows with this key.
        unary update(Update) -> Affected { effect: Write, idempotent: true, target: "/table" }
        /// Reads the row with this key.
        unary get(ByKey) -> Row { effect: Read, idempotent: true, batched_by: "get_many", target: "/table" }
        /// Reads many rows at once.
        unary get_many(Batch<ByKey>) -> BatchOutput<Row> { effect: Read, idempotent: true }
        /// Deletes the rows with this key.
        unary delete(ByKey) -> Affected { effect: Write, idempotent: true, batched_by: "delete_many", target: "/table" }
        /// Deletes many rows at once.
        unary delete_many(Batch<ByKey>) -> BatchOutput<Affected> { effect: Write, idempotent: true }
    }
}

/// One SQL statement.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The text, with `$1`, `$2`, … for values.
    pub sql: String,
    /// The values.
    #[serde(default)]
    pub params: Vec<Value>,
}

/// Rows, each an object by column name.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Object>,
}

/// A row.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Row {
    /// The row as it is stored now; `null` when there is none.
    pub row: Option<Object>,
}

/// How many rows were changed.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Affected {
    /// Number of rows.
    pub rows_affected: u64,
}

/// Statements that stand or fall together.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// The statements, in order.
    pub statements: Vec<Statement>,
}

/// What the statements did.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct TransactionOutput {
    /// One result for each statement.
    pub results: Vec<StatementResult>,
}

/// What one statement did.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct StatementResult {
    /// Number of rows changed (or answered).
    pub rows_affected: u64,
    /// The rows it answered.
    pub rows: Vec<Object>,
}

/// Migrations of a schema.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Migrate {
    /// All migrations there are, applied or not.
    pub migrations: Vec<Migration>,
}

/// One step of a schema.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// Position; applied in this order.
    pub version: i64,
    /// What it is for.
    pub name: String,
    /// Its statements. Changing them after they were applied is refused with `failed_precondition`.
    pub sql: String,
}

/// What `migrate` did.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Migrated {
    /// Versions applied now.
    pub applied: Vec<i64>,
}

/// A new row.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Insert {
    /// The table, `name` or `schema.name`.
    pub table: String,
    /// Values by column.
    pub values: Object,
}

/// A row to write whether it is there or not.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upsert {
    /// The table, `name` or `schema.name`.
    pub table: String,
    /// The columns that tell rows apart; a unique index must exist on them.
    pub key: Vec<String>,
    /// Values by column, those of the key among them.
    pub values: Object,
}

/// A change of rows.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The table, `name` or `schema.name`.
    pub table: String,
    /// Which rows: column to value, all must match; not empty.
    pub key: Object,
    /// New values by column; not empty.
    pub values: Object,
}

/// Rows by key.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByKey {
    /// The table, `name` or `schema.name`.
    pub table: String,
    /// Which rows: column to value, all must match; not empty.
    pub key: Object,
}
