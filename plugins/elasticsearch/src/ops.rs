//! The operations.

use crate::driver::{Elastic, answer};
use crate::query;
use chassis_guest::contracts::search::{
    Action, ById, Count, Counted, CreateIndex, Created, Delete, Deleted, Document, Done, Hit, Hits, Index,
    IndexName, Indexed, Query, Search,
};
use chassis_guest::contracts::{Batch, BatchOutput};
use chassis_guest::{Call, Code, Effect, Error};
use elasticsearch::indices::{IndicesCreateParts, IndicesDeleteParts};
use elasticsearch::params::{OpType, Refresh};
use elasticsearch::{CountParts, DeleteParts, GetParts, IndexParts, SearchParts};
use serde_json::Value;

impl Search for Elastic {
    async fn create_index(&self, _: Call<'_>, input: CreateIndex) -> Result<Created, Error> {
        let mapping = query::mapping(&input.fields);
        let indices = self.client.indices();
        let create = indices.create(IndicesCreateParts::Index(&input.index)).body(mapping);
        match answer(create.send().await, Effect::Write).await {
            Ok(_) => Ok(Created { created: true }),
            Err(error) if error.code() == Code::AlreadyExists => Ok(Created { created: false }),
            Err(error) => Err(error),
        }
    }

    async fn delete_index(&self, _: Call<'_>, input: IndexName) -> Result<Deleted, Error> {
        let index = [input.index.as_str()];
        let sent = self.client.indices().delete(IndicesDeleteParts::Index(&index)).send().await;
        gone(answer(sent, Effect::Write).await.map(|_| true))
    }

    async fn index(&self, _: Call<'_>, input: Index) -> Result<Indexed, Error> {
        let mut index =
            self.client.index(IndexParts::IndexId(&input.index, &input.id)).refresh(refresh(input.refresh));
        if input.if_absent {
            index = index.op_type(OpType::Create);
        }
        match answer(index.body(&input.document).send().await, Effect::Write).await {
            Ok(done) => Ok(Indexed { created: done["result"] == "created", id: input.id }),
            Err(error) if error.code() == Code::AlreadyExists => {
                let there = self.is_there(&input.index, &input.id, &Value::Object(input.document)).await?;
                if there { Ok(Indexed { created: false, id: input.id }) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    async fn index_many(&self, _: Call<'_>, input: Batch<Index>) -> Result<BatchOutput<Indexed>, Error> {
        let done = self.apply(input.items.into_iter().map(Action::Index).collect()).await;
        let indexed = |done: crate::bulk::Applied| Indexed { created: done.result == "created", id: done.id };
        Ok(done.into_iter().map(|done| done.map(indexed)).collect())
    }

    async fn get(&self, _: Call<'_>, input: ById) -> Result<Document, Error> {
        let sent = self.client.get(GetParts::IndexId(&input.index, &input.id)).send().await;
        let mut found = match answer(sent, Effect::Read).await {
            Ok(found) => found,
            // A document that is not there has no reason, an index that is not there has.
            Err(error) if error.code() == Code::NotFound && !error.message().contains("index_not_found") => {
                Value::Null
            }
            Err(error) => return Err(error),
        };
        Ok(Document { document: object(found["_source"].take()) })
    }

    async fn search(&self, _: Call<'_>, input: Query) -> Result<Hits, Error> {
        let index = [input.index.as_str()];
        let search = self.client.search(SearchParts::Index(&index)).body(query::search(&input));
        let mut found = answer(search.send().await, Effect::Read).await?;
        let total = found["hits"]["total"]["value"].as_u64().unwrap_or_default();
        let hits = match found["hits"]["hits"].take() {
            Value::Array(hits) => hits.into_iter().map(hit).collect(),
            _ => Vec::new(),
        };
        Ok(Hits { total, hits })
    }

    async fn delete(&self, _: Call<'_>, input: Delete) -> Result<Deleted, Error> {
        let delete = self.client.delete(DeleteParts::IndexId(&input.index, &input.id));
        let sent = delete.refresh(refresh(input.refresh)).send().await;
        gone(answer(sent, Effect::Write).await.map(|done| done["result"] == "deleted"))
    }

    async fn bulk(&self, _: Call<'_>, input: Batch<Action>) -> Result<BatchOutput<Done>, Error> {
        let done = self.apply(input.items).await;
        Ok(done.into_iter().map(|done| done.map(|done| Done { id: done.id, result: done.result })).collect())
    }

    async fn count(&self, _: Call<'_>, input: Count) -> Result<Counted, Error> {
        let index = [input.index.as_str()];
        let count = self.client.count(CountParts::Index(&index)).body(query::count(&input.filter));
        let counted = answer(count.send().await, Effect::Read).await?;
        Ok(Counted { count: counted["count"].as_u64().unwrap_or_default() })
    }
}

impl Elastic {
    /// Whether an id has this very document: then a write that found the id taken is one that was asked for again.
    pub(crate) async fn is_there(&self, index: &str, id: &str, document: &Value) -> Result<bool, Error> {
        let sent = self.client.get(GetParts::IndexId(index, id)).send().await;
        match answer(sent, Effect::Read).await {
            Ok(found) => Ok(found["_source"] == *document),
            // Gone meanwhile.
            Err(error) if error.code() == Code::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What is not there is not deleted, and that is no error.
fn gone(deleted: Result<bool, Error>) -> Result<Deleted, Error> {
    match deleted {
        Ok(deleted) => Ok(Deleted { deleted }),
        Err(error) if error.code() == Code::NotFound => Ok(Deleted { deleted: false }),
        Err(error) => Err(error),
    }
}

fn refresh(wanted: bool) -> Refresh {
    if wanted { Refresh::True } else { Refresh::False }
}

fn object(value: Value) -> Option<chassis_guest::contracts::Object> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn hit(mut hit: Value) -> Hit {
    Hit {
        id: hit["_id"].as_str().unwrap_or_default().to_owned(),
        score: hit["_score"].as_f64().unwrap_or_default(),
        document: object(hit["_source"].take()).unwrap_or_default(),
    }
}
