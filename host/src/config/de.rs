//! From a tree to typed settings. Errors carry the field and the line, and unknown keys the nearest right name.

use super::problem::Problem;
use super::tree::{Node, Origin, Value, join};
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use std::collections::btree_map;
use std::fmt::Display;

/// Reads settings out of the tree.
pub fn read<'de, T: Deserialize<'de>>(node: &'de Node, path: &str) -> Result<T, Problem> {
    T::deserialize(Reader { node, path: path.to_owned() }).map_err(|error| error.0)
}

struct Reader<'de> {
    node: &'de Node,
    path: String,
}

#[derive(Debug)]
struct Error(Problem);

impl Reader<'_> {
    /// A problem takes the place of the innermost value it arose in.
    fn placed<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        place(result, &self.path, &self.node.origin)
    }

    /// The value of a text that came from outside, where all is text, as what it looks like.
    fn loose(&self) -> Option<&str> {
        match &self.node.value {
            Value::Text(text) if text.loose => Some(text.text.trim()),
            _ => None,
        }
    }

    fn visit<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error>
    where
        Self: 'de,
    {
        match &self.node.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_str(&text.text),
            Value::List(list) => {
                let items = list
                    .iter()
                    .enumerate()
                    .map(|(at, node)| Reader { node, path: format!("{}[{at}]", self.path) });
                visitor.visit_seq(de::value::SeqDeserializer::new(items))
            }
            Value::Table(table) => {
                visitor.visit_map(Table { entries: table.iter(), path: &self.path, next: None })
            }
        }
    }
}

macro_rules! numbers {
    ($($method:ident: $type:ty => $visit:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let result = match self.loose().map(str::parse::<$type>) {
                Some(Ok(value)) => visitor.$visit(value),
                _ => self.visit(visitor),
            };
            self.placed(result)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = self.visit(visitor);
        self.placed(result)
    }

    numbers! {
        deserialize_bool: bool => visit_bool;
        deserialize_i64: i64 => visit_i64;
        deserialize_i32: i64 => visit_i64;
        deserialize_u64: u64 => visit_u64;
        deserialize_u32: u64 => visit_u64;
        deserialize_u16: u64 => visit_u64;
        deserialize_f64: f64 => visit_f64;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match &self.node.value {
            Value::Text(text) => visitor.visit_enum(text.text.as_str().into_deserializer()),
            _ => Err(de::Error::custom(format!("expected a name ({name}), found {}", self.node.kind()))),
        };
        let _ = variants;
        self.placed(result)
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Reader<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Table<'a, 'de> {
    entries: btree_map::Iter<'de, String, Node>,
    path: &'a str,
    next: Option<(&'de str, &'de Node)>,
}

impl<'de> de::MapAccess<'de> for Table<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        self.next = Some((key, node));
        let key_reader: de::value::StrDeserializer<'_, Error> = key.as_str().into_deserializer();
        place(seed.deserialize(key_reader), &join(self.path, key), &node.origin).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, node)) = self.next.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Reader { node, path: join(self.path, key) })
    }
}

fn place<T>(result: Result<T, Error>, path: &str, origin: &Origin) -> Result<T, Error> {
    result.map_err(|Error(problem)| match problem.at {
        None if problem.field.is_empty() => Error(problem.at(origin).field(path)),
        // A missing field knows its name, and the table it is missing in gives the place.
        None => {
            let field = join(path, &problem.field);
            Error(problem.at(origin).field(field))
        }
        Some(_) => Error(problem),
    })
}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Error(Problem::new(message.to_string()))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Error(Problem::new("unknown key").known(field, expected.iter().copied()))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Error(Problem::new(format!("`{variant}` is not known here")).known(variant, expected.iter().copied()))
    }

    fn missing_field(field: &'static str) -> Self {
        Error(Problem::new("missing").field(field))
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Error(Problem::new(format!("expected {expected}, found {}", without_value(found))))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Error(Problem::new(format!("expected {expected}, found {}", without_value(found))))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}

/// A text may be a secret that was put into the wrong field: it is not repeated.
fn without_value(found: de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Str(_) => "another text".to_owned(),
        other => other.to_string(),
    }
}
