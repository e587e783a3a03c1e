//! Reads single values out of JSON without building the rest of it. Reading stops where the value ends.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A JSON pointer, taken apart beforehand.
#[derive(Clone, Debug, PartialEq)]
pub struct Pointer(Box<[Box<str>]>);

/// A scalar.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Number(f64),
    /// True or false.
    Boolean(bool),
}

impl Pointer {
    /// The pointer of this text (`/a/b/0`).
    pub fn new(text: &str) -> Self {
        let step = |step: &str| step.replace("~1", "/").replace("~0", "~").into_boxed_str();
        Self(text.split('/').skip(1).map(step).collect())
    }

    /// The scalar it points at; none for what is missing, null, an object or an array.
    pub fn read<'a>(&self, json: &'a [u8]) -> Option<Scalar<'a>> {
        let mut found = None;
        self.walk(json, Walk { path: &self.0, want: Want::Scalar(&mut found) });
        found
    }

    /// The string it points at.
    pub fn text<'a>(&self, json: &'a [u8]) -> Option<Cow<'a, str>> {
        match self.read(json)? {
            Scalar::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The length of the array it points at.
    pub fn count(&self, json: &[u8]) -> Option<usize> {
        let mut found = None;
        self.walk(json, Walk { path: &self.0, want: Want::Length(&mut found) });
        found
    }

    fn walk<'a>(&self, json: &'a [u8], walk: Walk<'_, 'a>) {
        if !json.is_empty() {
            // Ends with an error where reading stops early; what was wanted has been found by then.
            let _ = walk.deserialize(&mut serde_json::Deserializer::from_slice(json));
        }
    }
}

impl Scalar<'_> {
    /// As an attribute's value.
    pub fn into_value(self) -> opentelemetry::Value {
        match self {
            Scalar::Text(text) => text.into_owned().into(),
            Scalar::Integer(number) => number.into(),
            Scalar::Number(number) => number.into(),
            Scalar::Boolean(value) => value.into(),
        }
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Text(text) => f.write_str(text),
            Scalar::Integer(number) => number.fmt(f),
            Scalar::Number(number) => number.fmt(f),
            Scalar::Boolean(value) => value.fmt(f),
        }
    }
}

struct Walk<'w, 'a> {
    path: &'w [Box<str>],
    want: Want<'w, 'a>,
}

enum Want<'w, 'a> {
    Scalar(&'w mut Option<Scalar<'a>>),
    Length(&'w mut Option<usize>),
}

impl<'a> Walk<'_, 'a> {
    fn found<E>(self, scalar: Scalar<'a>) -> Result<(), E> {
        if let (true, Want::Scalar(slot)) = (self.path.is_empty(), self.want) {
            *slot = Some(scalar);
        }
        Ok(())
    }

    fn into_step(self) -> Self {
        Self { path: &self.path[1..], want: self.want }
    }
}

impl<'a> DeserializeSeed<'a> for Walk<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Walk<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let Some(step) = self.path.first() else { return Err(stop()) };
        while let Some(same) = map.next_key_seed(KeyIs(step))? {
            if same {
                map.next_value_seed(self.into_step())?;
                return Err(stop());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<(), S::Error> {
        let Some(step) = self.path.first() else {
            if let Want::Length(slot) = self.want {
                let mut length = 0;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    length += 1;
                }
                *slot = Some(length);
            }
            return Err(stop());
        };
        for _ in 0..step.parse::<usize>().map_err(Error::custom)? {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(self.into_step())?;
        Err(stop())
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<(), E> {
        self.found(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.found(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.found(Scalar::Boolean(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.found(Scalar::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.found(i64::try_from(number).map_or(Scalar::Number(number as f64), Scalar::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.found(Scalar::Number(number))
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Compares a key without keeping it: serde makes a `Cow` key an owned one, and that is an allocation for each.
struct KeyIs<'w>(&'w str);

impl<'a> DeserializeSeed<'a> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

fn stop<E: Error>() -> E {
    E::custom("enough")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_wherever_they_stand() {
        let json = br#"{"skip":{"a":[1,2,{"b":3}]},"table":"us\u0065rs","items":[{"id":"x"},{"id":7}],"a/b":true,"none":null}"#;
        assert_eq!(Pointer::new("/table").text(json).as_deref(), Some("users"));
        assert_eq!(Pointer::new("/items/0/id").text(json).as_deref(), Some("x"));
        assert_eq!(Pointer::new("/items/1/id").read(json), Some(Scalar::Integer(7)));
        assert_eq!(Pointer::new("/a~1b").read(json), Some(Scalar::Boolean(true)));
        assert_eq!(Pointer::new("/items").count(json), Some(2));
        for missing in ["/none", "/items", "/items/9/id", "/nowhere", "/table/deeper", "/items/x"] {
            assert_eq!(Pointer::new(missing).read(json), None, "{missing}");
        }
    }

    #[test]
    fn reading_stops_at_the_value_and_bears_with_broken_json() {
        assert_eq!(Pointer::new("/a").read(br#"{"a":1, this is no JSON"#), Some(Scalar::Integer(1)));
        assert_eq!(Pointer::new("/a").read(b""), None);
        assert_eq!(Pointer::new("/a").read(b"nonsense"), None);
    }
}
