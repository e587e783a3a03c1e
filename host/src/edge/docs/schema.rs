//! A schema for the eye: one row a property, other schemas by link.

use super::{escape, marked};
use serde_json::Value;
use std::fmt::{self, Write};

/// The properties of a schema (looked up if it is a reference), as a table; nothing if it has none.
pub fn fields(out: &mut String, document: &Value, schema: &Value) -> fmt::Result {
    let schema = resolved(document, schema);
    let Some(properties) = schema["properties"].as_object().filter(|properties| !properties.is_empty())
    else {
        return Ok(());
    };
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    out.push_str("<table><tr><th>Member<th>Type<th>Meaning");
    for (name, property) in properties {
        let needed = if required(name) { "" } else { " (optional)" };
        write!(out, "<tr><td><code>{}</code>{needed}<td>{}<td>", escape(name), kind(property))?;
        out.push_str(&marked(&property["description"]));
        if let Some(default) = property.get("default").filter(|default| !default.is_null()) {
            write!(out, " Default <code>{}</code>.", escape(&default.to_string()))?;
        }
    }
    out.push_str("</table>");
    Ok(())
}

/// What a value may be, in a few words of HTML.
pub fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = escape(reference.trim_start_matches("#/components/schemas/"));
        // The plugin and the operation stand before; the last part is the type's own name.
        let short = name.rsplit('.').next().unwrap_or(&name);
        return format!("<a href=\"#schema-{name}\">{short}</a>");
    }
    if let Some(constant) = schema.get("const") {
        return format!("<code>{}</code>", escape(&constant.to_string()));
    }
    if let Some(values) = schema["enum"].as_array() {
        return joined(values.iter().map(|value| format!("<code>{}</code>", escape(&value.to_string()))));
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(all) = schema[key].as_array() {
            return joined(all.iter().map(kind));
        }
    }
    match &schema["type"] {
        Value::String(name) => named(name, schema),
        Value::Array(names) => joined(names.iter().filter_map(Value::as_str).map(|name| named(name, schema))),
        _ => "anything".to_owned(),
    }
}

fn named(name: &str, schema: &Value) -> String {
    match name {
        "array" if schema["items"].is_object() => format!("array of {}", kind(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object of {}", kind(&schema["additionalProperties"]))
        }
        "object" if schema["properties"].is_object() => {
            let members = schema["properties"].as_object().into_iter().flatten();
            let members = members.map(|(name, member)| format!("{}: {}", escape(name), kind(member)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        name => escape(name),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<_> = parts.collect();
    parts.dedup();
    parts.join(" or ")
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target =
        schema["$ref"].as_str().and_then(|reference| document.pointer(reference.trim_start_matches('#')));
    target.unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kinds_read_like_a_sentence() {
        let link = "<a href=\"#schema-p.op.input.Key\">Key</a>";
        let key = json!({ "$ref": "#/components/schemas/p.op.input.Key" });
        assert_eq!(kind(&key), link);
        assert_eq!(kind(&json!({ "type": ["string", "null"] })), "string or null");
        assert_eq!(kind(&json!({ "type": "array", "items": key })), format!("array of {link}"));
        assert_eq!(kind(&json!({ "anyOf": [key, { "type": "null" }] })), format!("{link} or null"));
        assert_eq!(kind(&json!(true)), "anything");
        assert_eq!(kind(&json!({ "const": "a" })), "<code>&quot;a&quot;</code>");
    }
}
