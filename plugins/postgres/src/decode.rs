//! PostgreSQL's binary values as JSON.

mod number;
mod time;

use chassis_guest::contracts::Object;
use chassis_guest::serde_json::{self, Number, Value};
use sqlx::postgres::{PgRow, PgTypeInfo, PgTypeKind};
use sqlx::{Column, Row, ValueRef};
use std::fmt::Write;
use std::net::IpAddr;

/// A row as an object by column name, without the first `skip` columns.
pub(crate) fn object(row: &PgRow, skip: usize) -> Object {
    let columns = row.columns().iter().skip(skip);
    columns
        .map(|column| {
            let value = row.try_get_raw(column.ordinal()).ok().filter(|value| !value.is_null());
            let value = value.map_or(Value::Null, |value| {
                value.as_bytes().map_or(Value::Null, |bytes| json(bytes, column.type_info()))
            });
            (column.name().to_owned(), value)
        })
        .collect()
}

fn json(bytes: &[u8], kind: &PgTypeInfo) -> Value {
    let oid = kind.oid().map_or(0, |oid| oid.0);
    match kind.kind() {
        PgTypeKind::Array(_) => array(bytes).unwrap_or_else(|| unknown(bytes)),
        _ => scalar(bytes, oid).unwrap_or_else(|| unknown(bytes)),
    }
}

/// A value by its type's number in `pg_type`; those of the types that are built in never change.
fn scalar(bytes: &[u8], oid: u32) -> Option<Value> {
    Some(match oid {
        16 => (*bytes.first()? != 0).into(),
        17 => hex(bytes).into(),
        20 => i64::from_be_bytes(bytes.try_into().ok()?).into(),
        21 => i16::from_be_bytes(bytes.try_into().ok()?).into(),
        23 => i32::from_be_bytes(bytes.try_into().ok()?).into(),
        26 => u32::from_be_bytes(bytes.try_into().ok()?).into(),
        700 => {
            let float = f32::from_be_bytes(bytes.try_into().ok()?);
            // By way of its shortest text: 0.1 is to stay 0.1.
            float_of(float.to_string().parse().ok()?)
        }
        701 => float_of(f64::from_be_bytes(bytes.try_into().ok()?)),
        114 => serde_json::from_slice(bytes).ok()?,
        3802 => serde_json::from_slice(bytes.get(1..)?).ok()?,
        1700 => number::numeric(bytes)?,
        2950 => uuid(bytes)?.into(),
        1082 => time::date(bytes)?.into(),
        1083 => time::time(bytes)?.into(),
        1114 => time::timestamp(bytes, "")?.into(),
        1184 => time::timestamp(bytes, "Z")?.into(),
        1186 => time::interval(bytes)?.into(),
        650 | 869 => network(bytes)?.into(),
        _ => return None,
    })
}

/// Texts of all kinds, labels of enums among them, are sent as they are. What else is not known is told in hexadecimal: cast it to
/// text to read it.
fn unknown(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => text.into(),
        _ => hex(bytes).into(),
    }
}

/// Dimensions, a flag, the element's type; each dimension's length and first index; the elements, each after its length.
fn array(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader(bytes);
    let (dimensions, _, oid) = (reader.int()?, reader.int()?, reader.int()?);
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        lengths.push(usize::try_from(reader.int()?).ok()?);
        reader.int()?;
    }
    if lengths.is_empty() {
        return Some(Value::Array(Vec::new()));
    }
    reader.dimension(&lengths, u32::from_ne_bytes(oid.to_ne_bytes()))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn dimension(&mut self, lengths: &[usize], oid: u32) -> Option<Value> {
        let Some((length, inner)) = lengths.split_first() else {
            let length = self.int()?;
            let Ok(length) = usize::try_from(length) else { return Some(Value::Null) };
            let bytes = self.take(length)?;
            return Some(scalar(bytes, oid).unwrap_or_else(|| unknown(bytes)));
        };
        let mut items = Vec::new();
        for _ in 0..*length {
            items.push(self.dimension(inner, oid)?);
        }
        Some(Value::Array(items))
    }
}

/// JSON has no NaN and no infinity: they are texts, as PostgreSQL writes them.
fn float_of(float: f64) -> Value {
    match Number::from_f64(float) {
        Some(number) => Value::Number(number),
        None if float.is_nan() => "NaN".into(),
        None if float > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn uuid(bytes: &[u8]) -> Option<String> {
    let number = format!("{:032x}", u128::from_be_bytes(bytes.try_into().ok()?));
    Some([&number[..8], &number[8..12], &number[12..16], &number[16..20], &number[20..]].join("-"))
}

/// An address, and the length of its network where it is not the address alone: family, length, whether it is a `cidr`, bytes.
fn network(bytes: &[u8]) -> Option<String> {
    let [_, length, cidr, _, address @ ..] = bytes else { return None };
    let (address, whole) = match address.len() {
        4 => (IpAddr::from(<[u8; 4]>::try_from(address).ok()?), 32),
        _ => (IpAddr::from(<[u8; 16]>::try_from(address).ok()?), 128),
    };
    Some(if *length == whole && *cidr == 0 { address.to_string() } else { format!("{address}/{length}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis_guest::serde_json::json;

    #[test]
    fn an_array_with_dimensions() {
        let mut bytes = Vec::new();
        for word in [2, 0, 23, 2, 1, 1, 1, 4, 7] {
            bytes.extend(i32::to_be_bytes(word));
        }
        bytes.extend((-1_i32).to_be_bytes());
        assert_eq!(array(&bytes), Some(json!([[7], [null]])));
    }

    #[test]
    fn a_uuid() {
        let bytes: Vec<u8> = (0..16).collect();
        assert_eq!(uuid(&bytes).as_deref(), Some("00010203-0405-0607-0809-0a0b0c0d0e0f"));
    }
}
