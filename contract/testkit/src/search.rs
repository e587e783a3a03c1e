//! What every plugin of the contract `search` must do.

use crate::{Bench, Case, Code, Failure, Outcome, cases, expect_code, expect_eq};
use serde_json::{Value, json};

/// The cases.
pub const CASES: &[Case] = cases! {
    "what was written with refresh is found" => read_your_write,
    "a word with a typing error is found by fuzziness only" => fuzziness,
    "a filter takes whole values" => filters,
    "pages do not overlap and the total counts all" => paging,
    "if_absent refuses a taken id, but not the document that is there already" => if_absent,
    "what is not there is null, or false" => missing,
    "one bad item of a batch fails alone" => batch,
    "a bulk says what each item did" => bulk,
    "an index made again is not made" => indices,
};

async fn people(bench: &Bench) -> Result<String, Failure> {
    let index = bench.unique("conformance");
    let fields = json!({ "name": "text", "city": "keyword", "age": "integer", "active": "boolean" });
    bench.call("create_index", json!({ "index": index, "fields": fields })).await?;
    let people = [
        ("1", "Alice Johnson", "rome", 30, true),
        ("2", "Bob Johnson", "oslo", 40, false),
        ("3", "Cecilia Smith", "rome", 50, true),
    ];
    for (id, name, city, age, active) in people {
        let document = json!({ "name": name, "city": city, "age": age, "active": active });
        let input = json!({ "index": index, "id": id, "document": document, "refresh": true });
        expect_eq("index", &bench.call("index", input).await?, &json!({ "id": id, "created": true }))?;
    }
    Ok(index)
}

/// The ids found, in the order of the ids.
async fn find(bench: &Bench, query: Value) -> Result<Value, Failure> {
    let found = bench.call("search", query).await?;
    let mut ids: Vec<&str> =
        found["hits"].as_array().into_iter().flatten().filter_map(|hit| hit["id"].as_str()).collect();
    ids.sort_unstable();
    Ok(json!(ids))
}

async fn read_your_write(bench: &Bench) -> Outcome {
    let index = people(bench).await?;
    let found = bench.call("search", json!({ "index": index, "text": "alice" })).await?;
    expect_eq("total", &found["total"], &json!(1))?;
    let document = json!({ "name": "Alice Johnson", "city": "rome", "age": 30, "active": true });
    expect_eq("document", &found["hits"][0]["document"], &document)?;
    let score = found["hits"][0]["score"].as_f64().unwrap_or_default();
    expect_eq("a positive score", &(score > 0.0), &true)?;
    let changed = json!({ "index": index, "id": "1", "document": { "name": "Zoe" }, "refresh": true });
    expect_eq(
        "written again",
        &bench.call("index", changed).await?,
        &json!({ "id": "1", "created": false }),
    )?;
    expect_eq("old name", &find(bench, json!({ "index": index, "text": "alice" })).await?, &json!([]))?;
    expect_eq("new name", &find(bench, json!({ "index": index, "text": "zoe" })).await?, &json!(["1"]))?;
    let delete = json!({ "index": index, "id": "1", "refresh": true });
    expect_eq("delete", &bench.call("delete", delete).await?, &json!({ "deleted": true }))?;
    expect_eq("after delete", &find(bench, json!({ "index": index, "text": "zoe" })).await?, &json!([]))?;
    expect_eq("count", &bench.call("count", json!({ "index": index })).await?, &json!({ "count": 2 }))
}

async fn fuzziness(bench: &Bench) -> Outcome {
    let index = people(bench).await?;
    let query = |text: &str, fuzziness: &str| json!({ "index": index, "text": text, "fuzziness": fuzziness });
    expect_eq("without", &find(bench, query("jonhson", "none")).await?, &json!([]))?;
    expect_eq("with", &find(bench, query("jonhson", "auto")).await?, &json!(["1", "2"]))?;
    expect_eq("two errors", &find(bench, query("cecila", "auto")).await?, &json!(["3"]))?;
    expect_eq("far off", &find(bench, query("xylophone", "auto")).await?, &json!([]))?;
    let field = json!({ "index": index, "text": "johnson", "fields": ["city"] });
    expect_eq("in another field", &find(bench, field).await?, &json!([]))
}

async fn filters(bench: &Bench) -> Outcome {
    let index = people(bench).await?;
    let query = |filter: Value| json!({ "index": index, "filter": filter });
    expect_eq("keyword", &find(bench, query(json!({ "city": "rome" }))).await?, &json!(["1", "3"]))?;
    expect_eq("number", &find(bench, query(json!({ "age": 40 }))).await?, &json!(["2"]))?;
    expect_eq("boolean", &find(bench, query(json!({ "active": true }))).await?, &json!(["1", "3"]))?;
    expect_eq("whole text", &find(bench, query(json!({ "name": "Bob Johnson" }))).await?, &json!(["2"]))?;
    expect_eq("part of a text", &find(bench, query(json!({ "name": "johnson" }))).await?, &json!([]))?;
    expect_eq("two", &find(bench, query(json!({ "city": "rome", "age": 50 }))).await?, &json!(["3"]))?;
    let both = json!({ "index": index, "text": "johnson", "filter": { "city": "oslo" } });
    expect_eq("text and filter", &find(bench, both).await?, &json!(["2"]))?;
    let counted = bench.call("count", query(json!({ "city": "rome" }))).await?;
    expect_eq("count", &counted, &json!({ "count": 2 }))
}

async fn paging(bench: &Bench) -> Outcome {
    let index = bench.unique("conformance");
    bench.call("create_index", json!({ "index": index, "fields": { "t": "text" } })).await?;
    let item = |n: u32| json!({ "index": index, "id": n.to_string(), "document": { "t": "same" }, "refresh": n == 25 });
    bench.call("index_many", json!({ "items": (1..=25).map(item).collect::<Vec<_>>() })).await?;
    let mut seen = Vec::new();
    for from in [0, 10, 20] {
        let page =
            bench.call("search", json!({ "index": index, "text": "same", "from": from, "size": 10 })).await?;
        expect_eq("total", &page["total"], &json!(25))?;
        seen.extend(
            page["hits"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|hit| Some(hit["id"].as_str()?.to_owned())),
        );
    }
    seen.sort_unstable();
    seen.dedup();
    expect_eq("different documents", &seen.len(), &25)
}

async fn if_absent(bench: &Bench) -> Outcome {
    let index = people(bench).await?;
    let again = json!({ "index": index, "id": "1", "document": {}, "if_absent": true });
    expect_code(bench.call("index", again).await, Code::AlreadyExists)?;
    let found = bench.call("get", json!({ "index": index, "id": "1" })).await?;
    expect_eq("document", &found["document"]["name"], &json!("Alice Johnson"))?;
    let same = json!({ "index": index, "id": "1", "document": found["document"], "if_absent": true });
    let there = bench.call("index", same.clone()).await?;
    expect_eq("asked again", &there, &json!({ "id": "1", "created": false }))?;
    let mut other = same.clone();
    other["document"]["name"] = json!("Bob");
    let done = bench.call("index_many", json!({ "items": [same, other] })).await?;
    expect_eq("asked again among others", &done["items"][0], &json!({ "ok": there }))?;
    expect_eq("another document", &done["items"][1]["error"]["code"], &json!("already_exists"))
}

async fn missing(bench: &Bench) -> Outcome {
    let index = people(bench).await?;
    let id = json!({ "index": index, "id": "nobody" });
    expect_eq("get", &bench.call("get", id.clone()).await?, &json!({ "document": null }))?;
    expect_eq("delete", &bench.call("delete", id).await?, &json!({ "deleted": false }))?;
    let nowhere = bench.unique("nowhere");
    expect_code(bench.call("search", json!({ "index": nowhere, "text": "x" })).await, Code::NotFound)?;
    let deleted = bench.call("delete_index", json!({ "index": nowhere })).await?;
    expect_eq("delete_index", &deleted, &json!({ "deleted": false }))
}

async fn batch(bench: &Bench) -> Outcome {
    let index = people(bench).await?;
    let item = |id: &str| json!({ "index": index, "id": id, "document": { "name": id }, "if_absent": true, "refresh": true });
    let done = bench.call("index_many", json!({ "items": [item("a"), item("1"), item("b")] })).await?;
    expect_eq("first", &done["items"][0], &json!({ "ok": { "id": "a", "created": true } }))?;
    expect_eq("second", &done["items"][1]["error"]["code"], &json!("already_exists"))?;
    expect_eq("third", &done["items"][2], &json!({ "ok": { "id": "b", "created": true } }))?;
    expect_eq("count", &bench.call("count", json!({ "index": index })).await?, &json!({ "count": 5 }))?;
    expect_eq(
        "an empty batch",
        &bench.call("index_many", json!({ "items": [] })).await?,
        &json!({ "items": [] }),
    )
}

async fn bulk(bench: &Bench) -> Outcome {
    let index = people(bench).await?;
    let actions = json!({ "items": [
        { "index": { "index": index, "id": "new", "document": { "name": "New" } } },
        { "index": { "index": index, "id": "2", "document": { "name": "Changed" } } },
        { "index": { "index": index, "id": "1", "document": { "name": "No" }, "if_absent": true } },
        { "delete": { "index": index, "id": "3" } },
        { "delete": { "index": index, "id": "nobody", "refresh": true } },
    ] });
    let done = bench.call("bulk", actions).await?;
    let results: Vec<&Value> =
        done["items"].as_array().into_iter().flatten().map(|item| &item["ok"]["result"]).collect();
    expect_eq("results", &json!(results), &json!(["created", "updated", null, "deleted", "not_found"]))?;
    expect_eq("the refused one", &done["items"][2]["error"]["code"], &json!("already_exists"))?;
    expect_eq("changed", &find(bench, json!({ "index": index, "text": "changed" })).await?, &json!(["2"]))
}

async fn indices(bench: &Bench) -> Outcome {
    let index = bench.unique("conformance");
    let create = json!({ "index": index, "fields": { "name": "text" } });
    expect_eq("first", &bench.call("create_index", create.clone()).await?, &json!({ "created": true }))?;
    expect_eq("again", &bench.call("create_index", create).await?, &json!({ "created": false }))?;
    expect_eq(
        "delete",
        &bench.call("delete_index", json!({ "index": index })).await?,
        &json!({ "deleted": true }),
    )
}
