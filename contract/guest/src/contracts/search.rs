//! `search`: documents in indices, found by text.

use super::{Batch, BatchOutput, Object};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

crate::contract! {
    /// Documents in indices, found by text.
    pub trait Search = "search", kind = Database {
        /// Makes an index, if it is not there.
        unary create_index(CreateIndex) -> Created { effect: Write, idempotent: true, target: "/index" }
        /// Deletes an index and its documents.
        unary delete_index(IndexName) -> Deleted { effect: Write, idempotent: true, target: "/index" }
        /// Writes a document.
        unary index(Index) -> Indexed { effect: Write, idempotent: true, batched_by: "index_many", target: "/index" }
        /// Writes many documents at once.
        unary index_many(Batch<Index>) -> BatchOutput<Indexed> { effect: Write, idempotent: true }
        /// Reads a document.
        unary get(ById) -> Document { effect: Read, idempotent: true, target: "/index" }
        /// Finds documents by text and filters.
        unary search(Query) -> Hits { effect: Read, idempotent: true, target: "/index" }
        /// Deletes a document.
        unary delete(Delete) -> Deleted { effect: Write, idempotent: true, target: "/index" }
        /// Writes and deletes many documents at once and says which items failed.
        unary bulk(Batch<Action>) -> BatchOutput<Done> { effect: Write, idempotent: true }
        /// Counts documents.
        unary count(Count) -> Counted { effect: Read, idempotent: true, target: "/index" }
    }
}

/// An index to make.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateIndex {
    /// The index.
    pub index: String,
    /// Its fields; others are taken as they come.
    #[serde(default)]
    pub fields: BTreeMap<String, FieldKind>,
}

/// How a field is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// By words.
    Text,
    /// As a whole.
    Keyword,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A time, ISO 8601.
    Date,
}

/// Whether something was made.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Created {
    /// False when it was there.
    pub created: bool,
}

/// An index.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexName {
    /// The index.
    pub index: String,
}

/// A document to write.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The index.
    pub index: String,
    /// The document's id.
    pub id: String,
    /// The document.
    pub document: Object,
    /// Write only when the id is free; otherwise `already_exists`, unless this very document is there.
    #[serde(default)]
    pub if_absent: bool,
    /// Answer only when a search finds it.
    #[serde(default)]
    pub refresh: bool,
}

/// A document that was written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Indexed {
    /// Its id.
    pub id: String,
    /// False when it replaced another, or was there already.
    pub created: bool,
}

/// A document by id.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ById {
    /// The index.
    pub index: String,
    /// The id.
    pub id: String,
}

/// A document.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Document {
    /// The document; `null` when there is none.
    pub document: Option<Object>,
}

/// What to find.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The index.
    pub index: String,
    /// Words to find; all documents when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The fields to look in; all text fields when empty.
    #[serde(default)]
    pub fields: Vec<String>,
    /// How many typing errors a word may have.
    #[serde(default)]
    pub fuzziness: Fuzziness,
    /// Fields that must have exactly this value.
    #[serde(default)]
    pub filter: Object,
    /// Leave out the first so many.
    #[serde(default)]
    pub from: u32,
    /// At most so many.
    #[serde(default = "page")]
    pub size: u32,
}

/// How many typing errors a word may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fuzziness {
    /// None.
    #[default]
    None,
    /// By the word's length: none up to 2 letters, one up to 5, two beyond.
    Auto,
}

/// What was found.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Hits {
    /// How many there are in all.
    pub total: u64,
    /// Those of this page, best first.
    pub hits: Vec<Hit>,
}

/// A document that was found.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Hit {
    /// Its id.
    pub id: String,
    /// How well it fits; larger is better.
    pub score: f64,
    /// The document.
    pub document: Object,
}

/// What to delete.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// The index.
    pub index: String,
    /// The document's id.
    pub id: String,
    /// Answer only when a search does not find it any more.
    #[serde(default)]
    pub refresh: bool,
}

/// Whether something was deleted.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Deleted {
    /// False when it was not there.
    pub deleted: bool,
}

/// One item of a bulk.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Writes a document.
    Index(Index),
    /// Deletes a document.
    Delete(Delete),
}

/// What one item of a bulk did.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Done {
    /// The document's id.
    pub id: String,
    /// `created`, `updated`, `deleted` or `not_found`.
    pub result: String,
}

/// What to count.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The index.
    pub index: String,
    /// Fields that must have exactly this value.
    #[serde(default)]
    pub filter: Object,
}

/// A number of documents.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Counted {
    /// How many.
    pub count: u64,
}

fn page() -> u32 {
    10
}
