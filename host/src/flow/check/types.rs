//! What is known of a value before it is there: its kinds, and a JSON schema where there is one.

use crate::flow::document::unknown;
use serde_json::{Map, Value, json};
use std::fmt;
use std::ops::BitOr;
use std::sync::Arc;

/// Kinds of JSON values, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

const NAMES: [(&str, Kinds); 7] = [
    ("boolean", Kinds::BOOLEAN),
    ("integer", Kinds::INTEGER),
    ("number", Kinds::FRACTION),
    ("string", Kinds::STRING),
    ("array", Kinds::ARRAY),
    ("object", Kinds::OBJECT),
    ("null", Kinds::NULL),
];

impl Kinds {
    /// `null`.
    pub const NULL: Self = Self(1);
    /// True or false.
    pub const BOOLEAN: Self = Self(2);
    /// A whole number.
    pub const INTEGER: Self = Self(4);
    /// A number that is not whole.
    pub const FRACTION: Self = Self(8);
    /// A text.
    pub const STRING: Self = Self(16);
    /// A list.
    pub const ARRAY: Self = Self(32);
    /// An object.
    pub const OBJECT: Self = Self(64);
    /// Any number.
    pub const NUMBER: Self = Self(4 | 8);
    /// Nothing is known.
    pub const ANY: Self = Self(127);

    /// The kind of a value.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number.is_f64() => Self::FRACTION,
            Value::Number(_) => Self::INTEGER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    /// Whether a value can be of both.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it can be of these kinds only.
    pub fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    fn named(name: &str) -> Self {
        match name {
            // To JSON schema a whole number is a number too.
            "number" => Self::NUMBER,
            _ => NAMES.iter().find(|(known, _)| *known == name).map_or(Self::ANY, |(_, kinds)| *kinds),
        }
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole_too = Self::NUMBER.within(*self);
        let names =
            NAMES.iter().filter(|(name, kinds)| self.meets(*kinds) && !(whole_too && *name == "integer"));
        f.write_str(&names.map(|(name, _)| *name).collect::<Vec<_>>().join(" or "))
    }
}

/// What is known of a value.
#[derive(Clone, Debug)]
pub struct Type {
    /// What it may be.
    pub kinds: Kinds,
    schema: Option<Arc<Value>>,
}

impl From<Kinds> for Type {
    fn from(kinds: Kinds) -> Self {
        Self { kinds, schema: None }
    }
}

impl Type {
    /// Nothing is known.
    pub const ANY: Self = Self { kinds: Kinds::ANY, schema: None };

    /// What a schema says.
    pub fn of(schema: &Value) -> Self {
        for word in ["oneOf", "anyOf"] {
            if let Some(choices) = schema.get(word).and_then(Value::as_array) {
                return choices.iter().map(Self::of).reduce(Self::or).unwrap_or(Self::ANY);
            }
        }
        let kinds = match (schema.get("type"), schema.get("const"), schema.get("enum")) {
            (Some(Value::String(name)), ..) => Kinds::named(name),
            (Some(Value::Array(names)), ..) => {
                let kinds = names.iter().filter_map(Value::as_str).map(Kinds::named);
                kinds.reduce(Kinds::bitor).unwrap_or(Kinds::ANY)
            }
            (None, Some(value), _) => Kinds::of(value),
            (None, None, Some(Value::Array(values))) => {
                values.iter().map(Kinds::of).reduce(Kinds::bitor).unwrap_or(Kinds::ANY)
            }
            _ => Kinds::ANY,
        };
        Self { kinds, schema: Some(Arc::new(schema.clone())) }
    }

    /// A list of these.
    pub fn list(items: Self) -> Self {
        Self { kinds: Kinds::ARRAY, schema: Some(Arc::new(json!({ "items": items.schema() }))) }
    }

    /// An object with these fields and no others.
    pub fn object(fields: impl IntoIterator<Item = (String, Self)>) -> Self {
        let properties: Map<String, Value> =
            fields.into_iter().map(|(name, field)| (name, field.schema())).collect();
        let required: Vec<&String> = properties.keys().collect();
        let schema = json!({ "required": required, "properties": properties });
        Self { kinds: Kinds::OBJECT, schema: Some(Arc::new(schema)) }
    }

    /// Either. Of fields only what one side knows alone remains.
    pub fn or(self, other: Self) -> Self {
        let structured = Kinds::ARRAY | Kinds::OBJECT;
        let schema = match (self.kinds.meets(structured), other.kinds.meets(structured)) {
            (true, false) => self.schema,
            (false, true) => other.schema,
            _ => None,
        };
        Self { kinds: self.kinds | other.kinds, schema }
    }

    /// The same, or `null`.
    pub fn or_null(self) -> Self {
        Self { kinds: self.kinds | Kinds::NULL, ..self }
    }

    /// A field of it, written as `path.name`.
    ///
    /// # Errors
    /// There can be no such field.
    pub fn field(&self, path: &str, name: &str) -> Result<Self, String> {
        if !self.kinds.meets(Kinds::OBJECT) {
            return Err(format!("`{path}` is of type {}, and has no field `{name}`", self.kinds));
        }
        let Some(schema) = &self.schema else { return Ok(Self::ANY) };
        let properties = schema.get("properties").and_then(Value::as_object);
        if let Some(field) = properties.and_then(|properties| properties.get(name)) {
            let required = schema.get("required").and_then(Value::as_array);
            let there = required.is_some_and(|names| names.iter().any(|required| required == name));
            let field_type = Self::of(field);
            return Ok(if there || field.get("default").is_some() {
                field_type
            } else {
                field_type.or_null()
            });
        }
        match (schema.get("additionalProperties"), properties) {
            (Some(others @ Value::Object(_)), _) => Ok(Self::of(others)),
            (None | Some(Value::Bool(false)), Some(properties)) => {
                let names: Vec<&str> = properties.keys().map(String::as_str).collect();
                Err(format!("`{path}`: {}", unknown("field", name, &names)))
            }
            _ => Ok(Self::ANY),
        }
    }

    /// Its items, if it is a list.
    pub fn items(&self) -> Self {
        self.schema.as_ref().and_then(|schema| schema.get("items")).map_or(Self::ANY, Self::of)
    }

    /// As a schema; the kinds stand in it even where the schema that it was made of did not say them.
    pub fn schema(&self) -> Value {
        let mut schema = self.schema.as_deref().cloned().unwrap_or_else(|| json!({}));
        if self.kinds != Kinds::ANY && schema.is_object() {
            let mut kinds: Vec<&str> =
                NAMES.iter().filter(|(_, kinds)| self.kinds.meets(*kinds)).map(|(name, _)| *name).collect();
            kinds.dedup();
            schema["type"] = json!(kinds);
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_and_the_nearest_named() {
        let row = Type::of(&json!({ "type": "object", "required": ["id"], "properties": {
            "id": { "type": "integer" }, "note": { "type": "string" }, "more": { "type": "object", "additionalProperties": true },
            "state": { "oneOf": [{ "const": "on" }, { "type": "null" }] },
        }}));
        assert_eq!(row.field("row", "id").unwrap().kinds, Kinds::INTEGER);
        assert_eq!(row.field("row", "note").unwrap().kinds, Kinds::STRING | Kinds::NULL);
        assert_eq!(row.field("row", "state").unwrap().kinds, Kinds::STRING | Kinds::NULL);
        assert_eq!(row.field("row", "more").unwrap().field("more", "x").unwrap().kinds, Kinds::ANY);
        assert_eq!(
            row.field("row", "nite").unwrap_err(),
            "`row`: there is no field `nite`; did you mean `note`?"
        );
        let told = row.field("row", "id").unwrap().field("row.id", "x").unwrap_err();
        assert_eq!(told, "`row.id` is of type integer, and has no field `x`");
    }

    #[test]
    fn made_types_keep_what_they_were_made_of() {
        let made = Type::object([
            ("ids".to_owned(), Type::list(Kinds::INTEGER.into())),
            ("who".to_owned(), Type::of(&json!({ "type": "string" })).or_null()),
        ]);
        assert_eq!(made.field("made", "ids").unwrap().items().kinds, Kinds::INTEGER);
        assert_eq!(made.field("made", "who").unwrap().kinds.to_string(), "string or null");
        assert!(made.field("made", "id").is_err());
        assert_eq!(made.or(Kinds::NULL.into()).field("made", "ids").unwrap().kinds, Kinds::ARRAY);
    }

    #[test]
    fn a_whole_number_is_a_number_and_not_the_other_way_round() {
        let number = Type::of(&json!({ "type": "number" })).kinds;
        assert!(Kinds::of(&json!(1)).meets(number) && Kinds::of(&json!(1.5)).meets(number));
        assert!(!Kinds::of(&json!(1.5)).meets(Kinds::INTEGER));
        assert_eq!(
            (number.to_string(), Kinds::INTEGER.to_string()),
            ("number".to_owned(), "integer".to_owned())
        );
    }
}
