//! `documents`: JSON documents in collections. A filter is MongoDB's: `{"field": value}` with `$eq $ne $gt $gte $lt $lte $in $nin
//! $exists $and $or $not`, fields of fields by a dot.

use super::{Batch, BatchOutput, Object};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

crate::contract! {
    /// JSON documents in collections.
    pub trait Documents = "documents", kind = Database {
        /// Inserts a document; a taken `_id` or unique value is `already_exists`.
        unary insert(Insert) -> Inserted { effect: Write, batched_by: "insert_many", target: "/collection" }
        /// Inserts many documents at once.
        unary insert_many(Batch<Insert>) -> BatchOutput<Inserted> { effect: Write }
        /// Finds documents.
        unary find(Find) -> Found { effect: Read, idempotent: true, target: "/collection" }
        /// Finds documents and streams them.
        stream find_stream(Find) -> Object { effect: Read, idempotent: true, target: "/collection" }
        /// Finds the first document that matches.
        unary find_one(FindOne) -> FoundOne { effect: Read, idempotent: true, target: "/collection" }
        /// Changes documents.
        unary update(Update) -> Updated { effect: Write, target: "/collection" }
        /// Deletes documents.
        unary delete(Delete) -> Deleted { effect: Write, idempotent: true, target: "/collection" }
        /// Counts documents.
        unary count(Count) -> Counted { effect: Read, idempotent: true, target: "/collection" }
        /// Makes an index, if it is not there.
        unary create_index(CreateIndex) -> IndexName { effect: Write, idempotent: true, target: "/collection" }
    }
}

/// A new document.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Insert {
    /// The collection.
    pub collection: String,
    /// The document. Without `_id` it is given one.
    pub document: Object,
}

/// A document's name.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Inserted {
    /// Its `_id`.
    pub id: serde_json::Value,
}

/// What to find.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// The collection.
    pub collection: String,
    /// Which documents; all of them when empty.
    #[serde(default)]
    pub filter: Object,
    /// Order: field and direction, first one first.
    #[serde(default)]
    pub sort: Vec<Sort>,
    /// At most so many; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Leave out the first so many.
    #[serde(default)]
    pub skip: u32,
}

/// An order by one field.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sort {
    /// The field.
    pub field: String,
    /// Largest first.
    #[serde(default)]
    pub descending: bool,
}

/// Documents.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Found {
    /// The documents.
    pub documents: Vec<Object>,
}

/// Which document.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindOne {
    /// The collection.
    pub collection: String,
    /// Which document.
    #[serde(default)]
    pub filter: Object,
}

/// A document.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct FoundOne {
    /// The document; `null` when none matches.
    pub document: Option<Object>,
}

/// A change of documents. At least one of `set`, `unset` and `increment` is not empty.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The collection.
    pub collection: String,
    /// Which documents.
    pub filter: Object,
    /// Fields to set.
    #[serde(default)]
    pub set: Object,
    /// Fields to take away.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Numbers to add to fields.
    #[serde(default)]
    pub increment: BTreeMap<String, f64>,
    /// Insert a document (the filter's equalities and `set`) when none matches.
    #[serde(default)]
    pub upsert: bool,
    /// Change all that match, not only the first.
    #[serde(default)]
    pub many: bool,
}

/// What `update` did.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Updated {
    /// How many matched.
    pub matched: u64,
    /// How many are different now.
    pub modified: u64,
    /// The `_id` of the document that was inserted.
    pub upserted_id: Option<serde_json::Value>,
}

/// What to delete.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// The collection.
    pub collection: String,
    /// Which documents.
    pub filter: Object,
    /// Delete all that match, not only the first.
    #[serde(default)]
    pub many: bool,
}

/// What `delete` did.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Deleted {
    /// How many are gone.
    pub deleted: u64,
}

/// What to count.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The collection.
    pub collection: String,
    /// Which documents; all of them when empty.
    #[serde(default)]
    pub filter: Object,
}

/// A number of documents.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Counted {
    /// How many.
    pub count: u64,
}

/// An index.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateIndex {
    /// The collection.
    pub collection: String,
    /// The fields, in order.
    pub keys: Vec<Sort>,
    /// No two documents may have the same values.
    #[serde(default)]
    pub unique: bool,
    /// Its name; made of the fields when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An index's name.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct IndexName {
    /// The name.
    pub name: String,
}
