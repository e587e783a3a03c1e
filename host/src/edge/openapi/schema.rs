//! Schemas of manifests, made parts of one document.
//!
//! A manifest's schema refers to its own `$defs`. In a document that holds many of them such a reference would point
//! nowhere, so every definition becomes a component under the name of the operation that it came with.

use serde_json::{Map, Value, json};

/// Puts `schema` and its definitions into `components`, and answers a reference to it.
pub fn lift(components: &mut Map<String, Value>, name: &str, schema: &Value) -> Value {
    let name = component_name(name);
    let mut schema = schema.clone();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        for key in ["$defs", "definitions"] {
            let Some(Value::Object(definitions)) = object.remove(key) else { continue };
            for (definition, mut schema) in definitions {
                redirect(&mut schema, &name);
                components.insert(format!("{name}.{}", component_name(&definition)), schema);
            }
        }
    }
    redirect(&mut schema, &name);
    let reference = reference(&name);
    components.insert(name, schema);
    reference
}

/// A reference to a component.
pub fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Points references at the definitions' new places. Data is left alone: a property may be called `$ref`.
fn redirect(schema: &mut Value, name: &str) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                match (key.as_str(), &*value) {
                    ("$ref", Value::String(target)) => *value = Value::String(redirected(target, name)),
                    ("const" | "default" | "enum" | "examples", _) => {}
                    ("properties" | "patternProperties" | "dependentSchemas", Value::Object(_)) => {
                        let properties = value.as_object_mut().into_iter().flat_map(|map| map.values_mut());
                        properties.for_each(|property| redirect(property, name));
                    }
                    _ => redirect(value, name),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redirect(item, name)),
        _ => {}
    }
}

fn redirected(target: &str, name: &str) -> String {
    let definition = target.strip_prefix("#/$defs/").or_else(|| target.strip_prefix("#/definitions/"));
    match definition {
        Some(path) => {
            let (definition, rest) =
                path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
            let rest = rest.map(|rest| format!("/{rest}")).unwrap_or_default();
            format!("#/components/schemas/{name}.{}{rest}", component_name(definition))
        }
        None if target == "#" => format!("#/components/schemas/{name}"),
        None => target.to_owned(),
    }
}

/// What OpenAPI allows in the name of a component.
fn component_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_become_components_and_references_follow() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "$ref": { "$ref": "#/$defs/Tree<A>" },
                "self": { "$ref": "#" },
                "kept": { "const": { "$ref": "#/$defs/no" } },
            },
            "$defs": { "Tree<A>": { "items": { "$ref": "#/$defs/Tree<A>" } } },
        });
        let mut components = Map::new();
        assert_eq!(lift(&mut components, "p.op.input", &schema), reference("p.op.input"));
        assert_eq!(
            Value::Object(components),
            json!({
                "p.op.input.Tree_A_": { "items": { "$ref": "#/components/schemas/p.op.input.Tree_A_" } },
                "p.op.input": {
                    "type": "object",
                    "properties": {
                        "$ref": { "$ref": "#/components/schemas/p.op.input.Tree_A_" },
                        "self": { "$ref": "#/components/schemas/p.op.input" },
                        "kept": { "const": { "$ref": "#/$defs/no" } },
                    },
                },
            })
        );
    }
}
