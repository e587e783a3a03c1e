//! JSON as the text that PostgreSQL reads values of a type from.

use chassis_guest::serde_json::{Number, Value};

/// The text of a value for a type, named as `format_type` does; `None` is NULL.
pub(crate) fn text(value: &Value, kind: &str) -> Option<String> {
    if let Value::Null = value {
        return None;
    }
    if let Some(element) = kind.strip_suffix("[]") {
        return Some(match value {
            Value::Array(items) => array(items, element),
            // Already as PostgreSQL writes it: `{1,2}`.
            Value::String(text) => text.clone(),
            value => value.to_string(),
        });
    }
    Some(match value {
        _ if kind == "json" || kind == "jsonb" => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) if matches!(kind, "integer" | "bigint" | "smallint" | "oid") => whole(number),
        value => value.to_string(),
    })
}

/// `{1,NULL,"a b"}`; arrays in arrays are dimensions.
fn array(items: &[Value], element: &str) -> String {
    let items: Vec<String> = items
        .iter()
        .map(|item| match item {
            Value::Array(items) if element != "json" && element != "jsonb" => array(items, element),
            item => match text(item, element) {
                None => "NULL".to_owned(),
                Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            },
        })
        .collect();
    format!("{{{}}}", items.join(","))
}

/// 3.0 is a whole number, however it came to be written so.
fn whole(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => format!("{float:.0}"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis_guest::serde_json::json;

    #[test]
    fn values_by_type() {
        let text = |value: Value, kind| text(&value, kind).unwrap_or_else(|| "NULL".to_owned());
        assert_eq!(text(json!("a"), "text"), "a");
        assert_eq!(text(json!("a"), "jsonb"), "\"a\"");
        assert_eq!(text(json!({"a": 1}), "text"), "{\"a\":1}");
        assert_eq!(text(json!(3.0), "bigint"), "3");
        assert_eq!(text(json!(true), "boolean"), "true");
        assert_eq!(text(json!(["a\"b", null, "c\\"]), "text[]"), "{\"a\\\"b\",NULL,\"c\\\\\"}");
        assert_eq!(text(json!([[1, 2], [3, 4]]), "integer[]"), "{{\"1\",\"2\"},{\"3\",\"4\"}}");
        assert_eq!(text(Value::Null, "jsonb"), "NULL");
    }
}
