//! The operations.

use crate::convert::{document, filter, number, object};
use crate::driver::MongoDb;
use crate::error;
use crate::turn::run;
use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use chassis_guest::contracts::documents::{
    Count, Counted, CreateIndex, Delete, Deleted, Documents, Find, FindOne, Found, FoundOne, IndexName,
    Insert, Inserted, Sort, Update, Updated,
};
use chassis_guest::contracts::{Batch, BatchOutput, Object};
use chassis_guest::{Call, Effect, Error, Items};
use futures_util::TryStreamExt;
use mongodb::error::{Error as DriverError, ErrorKind};
use mongodb::options::IndexOptions;
use mongodb::{Cursor, IndexModel};
use std::collections::BTreeMap;

/// How many documents of a stream are taken at once.
const CHUNK: usize = 64;

impl Documents for MongoDb {
    async fn insert(&self, _: Call<'_>, input: Insert) -> Result<Inserted, Error> {
        let (document, id) = with_id(input.document)?;
        let collection = self.collection(&input.collection)?;
        run(&self.context, async move { collection.insert_one(document).await.map_err(write) }).await?;
        Ok(Inserted { id: id.into_relaxed_extjson() })
    }

    async fn insert_many(&self, _: Call<'_>, input: Batch<Insert>) -> Result<BatchOutput<Inserted>, Error> {
        let mut results: Vec<Result<Inserted, Error>> = Vec::new();
        let mut by_collection: BTreeMap<String, Vec<(usize, Document)>> = BTreeMap::new();
        for (at, item) in input.items.into_iter().enumerate() {
            results.push(with_id(item.document).map(|(document, id)| {
                by_collection.entry(item.collection).or_default().push((at, document));
                Inserted { id: id.into_relaxed_extjson() }
            }));
        }
        for (collection, group) in by_collection {
            let (places, documents): (Vec<usize>, Vec<Document>) = group.into_iter().unzip();
            for (within, error) in self.insert_group(&collection, documents).await {
                match within {
                    Some(within) => results[places[within]] = Err(error),
                    None => places.iter().for_each(|at| results[*at] = Err(error.clone())),
                }
            }
        }
        Ok(results.into_iter().collect())
    }

    async fn find(&self, call: Call<'_>, input: Find) -> Result<Found, Error> {
        let cursor = self.cursor(call, input)?;
        let found =
            run(&self.context, async move { cursor.await?.try_collect::<Vec<_>>().await.map_err(read) });
        Ok(Found { documents: found.await?.into_iter().map(object).collect() })
    }

    async fn find_stream(&self, call: Call<'_>, input: Find, mut items: Items<Object>) -> Result<(), Error> {
        let mut cursor = run(&self.context, self.cursor(call, input)?).await?;
        loop {
            let (rest, found) = run(&self.context, take(cursor)).await?;
            if found.is_empty() {
                return Ok(());
            }
            for found in found {
                items.send(&object(found)).await?;
            }
            cursor = rest;
        }
    }

    async fn find_one(&self, _: Call<'_>, input: FindOne) -> Result<FoundOne, Error> {
        let (collection, filter) = (self.collection(&input.collection)?, filter(input.filter)?);
        let found = run(&self.context, async move { collection.find_one(filter).await.map_err(read) });
        Ok(FoundOne { document: found.await?.map(object) })
    }

    async fn update(&self, _: Call<'_>, input: Update) -> Result<Updated, Error> {
        let mut change = Document::new();
        if !input.set.is_empty() {
            change.insert("$set", document("set", input.set)?);
        }
        if !input.unset.is_empty() {
            let fields = input.unset.into_iter().map(|field| (field, Bson::from("")));
            change.insert("$unset", fields.collect::<Document>());
        }
        if !input.increment.is_empty() {
            let by = input.increment.into_iter().map(|(field, by)| (field, number(by)));
            change.insert("$inc", by.collect::<Document>());
        }
        if change.is_empty() {
            return Err(Error::invalid("set", "one of `set`, `unset` and `increment` must hold something"));
        }
        let (collection, filter) = (self.collection(&input.collection)?, filter(input.filter)?);
        let done = run(&self.context, async move {
            let done = if input.many {
                collection.update_many(filter, change).upsert(input.upsert).await
            } else {
                collection.update_one(filter, change).upsert(input.upsert).await
            };
            done.map_err(write)
        });
        let done = done.await?;
        Ok(Updated {
            matched: done.matched_count,
            modified: done.modified_count,
            upserted_id: done.upserted_id.map(Bson::into_relaxed_extjson),
        })
    }

    async fn delete(&self, _: Call<'_>, input: Delete) -> Result<Deleted, Error> {
        let (collection, filter) = (self.collection(&input.collection)?, filter(input.filter)?);
        let done = run(&self.context, async move {
            let done = if input.many {
                collection.delete_many(filter).await
            } else {
                collection.delete_one(filter).await
            };
            done.map_err(write)
        });
        Ok(Deleted { deleted: done.await?.deleted_count })
    }

    async fn count(&self, _: Call<'_>, input: Count) -> Result<Counted, Error> {
        let (collection, filter) = (self.collection(&input.collection)?, filter(input.filter)?);
        let count = run(&self.context, async move { collection.count_documents(filter).await.map_err(read) });
        Ok(Counted { count: count.await? })
    }

    async fn create_index(&self, _: Call<'_>, input: CreateIndex) -> Result<IndexName, Error> {
        if input.keys.is_empty() {
            return Err(Error::invalid("keys", "an index needs a field"));
        }
        let options = IndexOptions::builder().unique(input.unique).name(input.name).build();
        let index = IndexModel::builder().keys(order(&input.keys)).options(options).build();
        let collection = self.collection(&input.collection)?;
        let made = run(&self.context, async move { collection.create_index(index).await.map_err(write) });
        Ok(IndexName { name: made.await?.index_name })
    }
}

impl MongoDb {
    /// A cursor to be.
    fn cursor(
        &self,
        call: Call<'_>,
        input: Find,
    ) -> Result<impl Future<Output = Result<Cursor<Document>, Error>> + Send + use<>, Error> {
        let (collection, filter) = (self.collection(&input.collection)?, filter(input.filter)?);
        if input.limit == Some(0) {
            return Err(Error::invalid("limit", "must be at least 1; leave it out for all documents"));
        }
        let remaining = call.remaining().filter(|remaining| !remaining.is_zero());
        Ok(async move {
            let mut find = collection.find(filter).skip(input.skip.into());
            if !input.sort.is_empty() {
                find = find.sort(order(&input.sort));
            }
            if let Some(limit) = input.limit {
                find = find.limit(limit.into());
            }
            if let Some(remaining) = remaining {
                find = find.max_time(remaining);
            }
            find.await.map_err(read)
        })
    }

    /// Inserts documents of one collection; answers what failed, by place, or as a whole (no place).
    async fn insert_group(&self, collection: &str, documents: Vec<Document>) -> Vec<(Option<usize>, Error)> {
        let collection = match self.collection(collection) {
            Ok(collection) => collection,
            Err(error) => return vec![(None, error)],
        };
        let done = run(&self.context, async move {
            Ok(collection
                .insert_many(documents)
                .ordered(false)
                .await
                .map_or_else(failed_items, |_| Vec::new()))
        });
        done.await.unwrap_or_else(|error| vec![(None, error)])
    }
}

fn failed_items(error: DriverError) -> Vec<(Option<usize>, Error)> {
    match error.kind.as_ref() {
        ErrorKind::InsertMany(failed) if failed.write_concern_error.is_none() => {
            let each = failed.write_errors.iter().flatten();
            each.map(|one| (Some(one.index), error::refused(one.code, &one.message))).collect()
        }
        _ => vec![(None, write(error))],
    }
}

/// Takes some documents of a cursor; none at its end.
async fn take(mut cursor: Cursor<Document>) -> Result<(Cursor<Document>, Vec<Document>), Error> {
    let mut taken = Vec::new();
    while taken.len() < CHUNK {
        let Some(document) = cursor.try_next().await.map_err(read)? else { break };
        taken.push(document);
    }
    Ok((cursor, taken))
}

fn order(keys: &[Sort]) -> Document {
    keys.iter().map(|key| (key.field.clone(), Bson::Int32(if key.descending { -1 } else { 1 }))).collect()
}

/// The document with an `_id`, made where there is none, so that it is known even if the answer is lost.
fn with_id(object: Object) -> Result<(Document, Bson), Error> {
    let given = document("document", object)?;
    if let Some(id) = given.get("_id") {
        let id = id.clone();
        return Ok((given, id));
    }
    let id = Bson::String(ObjectId::new().to_hex());
    let mut document = doc! { "_id": id.clone() };
    document.extend(given);
    Ok((document, id))
}

fn read(error: DriverError) -> Error {
    error::of(&error, Effect::Read)
}

fn write(error: DriverError) -> Error {
    error::of(&error, Effect::Write)
}
