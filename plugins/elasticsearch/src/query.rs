//! What is asked for, in Elasticsearch's query language.

use chassis_guest::contracts::Object;
use chassis_guest::contracts::search::{FieldKind, Fuzziness, Query};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The body of a search.
pub fn search(input: &Query) -> Value {
    let mut body = json!({ "from": input.from, "size": input.size, "track_total_hits": true });
    let mut query = json!({ "filter": filters(&input.filter) });
    if let Some(text) = &input.text {
        query["must"] = words(text, &input.fields, input.fuzziness);
    }
    body["query"] = json!({ "bool": query });
    body
}

/// The body of a count.
pub fn count(filter: &Object) -> Value {
    json!({ "query": { "bool": { "filter": filters(filter) } } })
}

/// The mapping of an index.
pub fn mapping(fields: &BTreeMap<String, FieldKind>) -> Value {
    let properties = fields.iter().map(|(name, kind)| {
        let property = match kind {
            FieldKind::Text => {
                json!({ "type": "text", "fields": { "keyword": { "type": "keyword", "ignore_above": 256 } } })
            }
            FieldKind::Keyword => json!({ "type": "keyword" }),
            FieldKind::Integer => json!({ "type": "long" }),
            FieldKind::Number => json!({ "type": "double" }),
            FieldKind::Boolean => json!({ "type": "boolean" }),
            FieldKind::Date => json!({ "type": "date" }),
        };
        (name.clone(), property)
    });
    json!({ "mappings": { "properties": properties.collect::<Map<_, _>>() } })
}

fn words(text: &str, fields: &[String], fuzziness: Fuzziness) -> Value {
    // Lenient, as text is looked for in fields of every kind when none is named.
    let mut query = json!({ "query": text, "lenient": true });
    if !fields.is_empty() {
        query["fields"] = json!(fields);
    }
    if fuzziness == Fuzziness::Auto {
        query["fuzziness"] = json!("AUTO");
    }
    json!({ "multi_match": query })
}

fn filters(filter: &Object) -> Vec<Value> {
    filter.iter().map(|(field, value)| exactly(field, value)).collect()
}

/// The whole value, also of a field that is searched by words: that has a second form for it.
fn exactly(field: &str, value: &Value) -> Value {
    if value.is_null() {
        return json!({ "bool": { "must_not": { "exists": { "field": field } } } });
    }
    if !value.is_string() {
        return json!({ "term": { field: value } });
    }
    let whole = format!("{field}.keyword");
    json!({ "bool": { "should": [
        { "term": { &whole: value } },
        { "bool": { "must": { "term": { field: value } }, "must_not": { "exists": { "field": whole } } } },
    ] } })
}
