//! Inputs that do not fit a schema, made from it.

use serde_json::{Map, Value, json};

/// For each property of an object schema with a type: an input that has a value of another type there, and the property's name.
pub(crate) fn misfits(schema: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, property) in properties(schema) {
        if let Some(wrong) = wrong_value(property) {
            let mut input = fitting(schema);
            input.insert(name.clone(), wrong);
            found.push((name.clone(), Value::Object(input)));
        }
    }
    found
}

/// An input with all that is required, of the right types.
pub(crate) fn fitting(schema: &Value) -> Map<String, Value> {
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let fits = |name: &Value| {
        let name = name.as_str()?;
        let property = schema.get("properties")?.get(name)?;
        Some((name.to_owned(), right_value(property)))
    };
    required.iter().filter_map(fits).collect()
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn kind(property: &Value) -> Option<&str> {
    match property.get("type")? {
        Value::Array(kinds) => kinds.first()?.as_str(),
        kind => kind.as_str(),
    }
}

fn wrong_value(property: &Value) -> Option<Value> {
    Some(match kind(property)? {
        "string" => json!(7),
        _ => json!("of the wrong type"),
    })
}

fn right_value(property: &Value) -> Value {
    if let Some(first) = property.get("enum").and_then(|values| values.get(0)) {
        return first.clone();
    }
    if let Some(first) = property.get("oneOf").and_then(|values| values.get(0)) {
        return first.get("const").cloned().unwrap_or_else(|| right_value(first));
    }
    match kind(property) {
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        Some("object") => Value::Object(fitting(property)),
        _ => json!("x"),
    }
}
