//! What every plugin of the contract `documents` must do.

use crate::{Bench, Case, Code, Outcome, cases, expect_back_pressure, expect_code, expect_eq, next_item};
use serde_json::{Value, json};

/// The cases.
pub const CASES: &[Case] = cases! {
    "a document comes back as it was inserted" => round_trip,
    "a taken _id and a taken unique value are already_exists" => uniqueness,
    "one bad item of a batch fails alone" => batch,
    "filters, order, limit and skip find what they say" => filters,
    "an operator outside the contract is refused" => operators,
    "update sets, unsets, increments and upserts" => updates,
    "delete takes one, or all that match" => deletes,
    "find_stream sends what is granted, and all of it" => streams,
};

async fn fill(bench: &Bench, documents: &[Value]) -> Result<String, crate::Failure> {
    let collection = bench.unique("conformance");
    for document in documents {
        bench.call("insert", json!({ "collection": collection, "document": document })).await?;
    }
    Ok(collection)
}

async fn count(bench: &Bench, collection: &str, filter: Value) -> Result<Value, crate::Failure> {
    let counted = bench.call("count", json!({ "collection": collection, "filter": filter })).await?;
    Ok(counted["count"].clone())
}

async fn round_trip(bench: &Bench) -> Outcome {
    let document = json!({
        "_id": "one", "text": "ünïcödé \u{1F600}", "whole": 9_007_199_254_740_991_i64, "half": 0.5, "yes": true, "nothing": null,
        "list": [1, "two", { "three": 3 }], "inner": { "deep": { "deeper": "x" } },
    });
    let collection = fill(bench, std::slice::from_ref(&document)).await?;
    let found =
        bench.call("find_one", json!({ "collection": collection, "filter": { "_id": "one" } })).await?;
    expect_eq("document", &found["document"], &document)?;
    let missing =
        bench.call("find_one", json!({ "collection": collection, "filter": { "_id": "two" } })).await?;
    expect_eq("missing document", &missing, &json!({ "document": null }))?;
    let made = bench.call("insert", json!({ "collection": collection, "document": { "a": 1 } })).await?;
    let found =
        bench.call("find_one", json!({ "collection": collection, "filter": { "_id": made["id"] } })).await?;
    expect_eq("document with a made _id", &found["document"]["a"], &json!(1))
}

async fn uniqueness(bench: &Bench) -> Outcome {
    let collection = fill(bench, &[json!({ "_id": 1, "mail": "a@x" })]).await?;
    let index = json!({ "collection": collection, "keys": [{ "field": "mail" }], "unique": true });
    let first = bench.call("create_index", index.clone()).await?;
    expect_eq("the index made again", &bench.call("create_index", index).await?, &first)?;
    for document in [json!({ "_id": 1, "mail": "b@x" }), json!({ "_id": 2, "mail": "a@x" })] {
        let taken = bench.call("insert", json!({ "collection": collection, "document": document })).await;
        let error = expect_code(taken, Code::AlreadyExists)?;
        expect_eq("retryable", &error.retryable, &false)?;
    }
    expect_eq("documents", &count(bench, &collection, json!({})).await?, &json!(1))
}

async fn batch(bench: &Bench) -> Outcome {
    let collection = fill(bench, &[json!({ "_id": "taken" })]).await?;
    let item = |id: &str| json!({ "collection": collection, "document": { "_id": id } });
    let items = json!({ "items": [item("a"), item("taken"), item("b")] });
    let result = bench.call("insert_many", items).await?;
    expect_eq("first", &result["items"][0]["ok"]["id"], &json!("a"))?;
    expect_eq("second", &result["items"][1]["error"]["code"], &json!("already_exists"))?;
    expect_eq("third", &result["items"][2]["ok"]["id"], &json!("b"))?;
    expect_eq("documents", &count(bench, &collection, json!({})).await?, &json!(3))?;
    expect_eq(
        "an empty batch",
        &bench.call("insert_many", json!({ "items": [] })).await?,
        &json!({ "items": [] }),
    )
}

async fn filters(bench: &Bench) -> Outcome {
    let people = [
        json!({ "_id": 1, "name": "ann", "age": 30, "home": { "city": "rome" } }),
        json!({ "_id": 2, "name": "bob", "age": 40, "home": { "city": "oslo" } }),
        json!({ "_id": 3, "name": "cid", "age": 50 }),
    ];
    let collection = fill(bench, &people).await?;
    let expected = [
        (json!({}), json!([1, 2, 3])),
        (json!({ "name": "bob" }), json!([2])),
        (json!({ "home.city": "rome" }), json!([1])),
        (json!({ "age": { "$gt": 30, "$lte": 50 } }), json!([2, 3])),
        (json!({ "age": { "$in": [30, 50] } }), json!([1, 3])),
        (json!({ "age": { "$nin": [30, 50] } }), json!([2])),
        (json!({ "age": { "$ne": 30 } }), json!([2, 3])),
        (json!({ "home": { "$exists": false } }), json!([3])),
        (json!({ "$or": [{ "name": "ann" }, { "age": 50 }] }), json!([1, 3])),
        (
            json!({ "$and": [{ "age": { "$gte": 40 } }, { "name": { "$not": { "$eq": "cid" } } }] }),
            json!([2]),
        ),
    ];
    for (filter, ids) in expected {
        let find = json!({ "collection": collection, "filter": filter, "sort": [{ "field": "_id" }] });
        let found = bench.call("find", find).await?;
        let got: Vec<&Value> =
            found["documents"].as_array().into_iter().flatten().map(|one| &one["_id"]).collect();
        expect_eq(&format!("ids for {filter}"), &json!(got), &ids)?;
        let expected = json!(ids.as_array().map(Vec::len));
        expect_eq(&format!("count for {filter}"), &count(bench, &collection, filter).await?, &expected)?;
    }
    let page = json!({ "collection": collection, "sort": [{ "field": "age", "descending": true }], "limit": 1, "skip": 1 });
    let found = bench.call("find", page).await?;
    expect_eq("second oldest", &found["documents"], &json!([people[1]]))
}

async fn operators(bench: &Bench) -> Outcome {
    let collection = bench.unique("conformance");
    for filter in [json!({ "$where": "1" }), json!({ "a": { "$evil": 1 } })] {
        let refused = bench.call("find", json!({ "collection": collection, "filter": filter })).await;
        expect_code(refused, Code::InvalidArgument)?;
    }
    Ok(())
}

async fn updates(bench: &Bench) -> Outcome {
    let collection =
        fill(bench, &[json!({ "_id": 1, "n": 1, "old": true }), json!({ "_id": 2, "n": 1 })]).await?;
    let update = |more: Value| {
        let mut input = json!({ "collection": collection, "filter": { "_id": 1 } });
        for (name, value) in more.as_object().into_iter().flatten() {
            input[name] = value.clone();
        }
        input
    };
    let change = update(json!({ "set": { "a.b": "x" }, "unset": ["old"], "increment": { "n": 4 } }));
    let done = bench.call("update", change).await?;
    expect_eq("update", &done, &json!({ "matched": 1, "modified": 1, "upserted_id": null }))?;
    let found = bench.call("find_one", json!({ "collection": collection, "filter": { "_id": 1 } })).await?;
    expect_eq("document", &found["document"], &json!({ "_id": 1, "n": 5, "a": { "b": "x" } }))?;
    let none = bench.call("update", update(json!({ "filter": { "_id": 9 }, "set": { "n": 2 } }))).await?;
    expect_eq("no match", &none, &json!({ "matched": 0, "modified": 0, "upserted_id": null }))?;
    let made = update(json!({ "filter": { "_id": 9 }, "set": { "n": 2 }, "upsert": true }));
    expect_eq("upsert", &bench.call("update", made).await?["upserted_id"], &json!(9))?;
    let all = update(json!({ "filter": {}, "set": { "n": 7 }, "many": true }));
    expect_eq("all", &bench.call("update", all).await?["matched"], &json!(3))?;
    expect_eq("documents with 7", &count(bench, &collection, json!({ "n": 7 })).await?, &json!(3))?;
    expect_code(bench.call("update", update(json!({}))).await, Code::InvalidArgument)?;
    Ok(())
}

async fn deletes(bench: &Bench) -> Outcome {
    let documents: Vec<Value> = (0..4).map(|n| json!({ "_id": n, "same": true })).collect();
    let collection = fill(bench, &documents).await?;
    let delete = |many: bool| json!({ "collection": collection, "filter": { "same": true }, "many": many });
    for (many, expected) in [(false, 1), (true, 3), (true, 0)] {
        expect_eq("deleted", &bench.call("delete", delete(many)).await?, &json!({ "deleted": expected }))?;
    }
    expect_eq("documents", &count(bench, &collection, json!({})).await?, &json!(0))
}

async fn streams(bench: &Bench) -> Outcome {
    let collection = bench.unique("conformance");
    let item = |n: usize| json!({ "collection": collection, "document": { "_id": n } });
    bench.call("insert_many", json!({ "items": (0..500).map(item).collect::<Vec<_>>() })).await?;
    let find = json!({ "collection": collection, "sort": [{ "field": "_id" }] });
    expect_back_pressure(bench.stream("find_stream", find.clone()).await?).await?;
    let mut stream = bench.stream("find_stream", find).await?.with_window(16);
    for n in 0..500 {
        expect_eq("item", &next_item(&mut stream).await?, &Some(json!({ "_id": n })))?;
    }
    expect_eq("end", &next_item(&mut stream).await?, &None)
}
