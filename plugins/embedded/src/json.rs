//! Fields of fields in JSON documents: `address.city`.

use chassis_guest::contracts::Object;
use chassis_guest::serde_json::{Number, Value};

/// The value at a path.
pub(crate) fn get<'a>(document: &'a Object, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let first = document.get(parts.next()?)?;
    parts.try_fold(first, |value, part| match value {
        Value::Object(fields) => fields.get(part),
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Sets the value at a path and makes the objects on the way. False when something on the way is no object.
pub(crate) fn set(document: &mut Object, path: &str, value: Value) -> bool {
    match path.split_once('.') {
        None => {
            document.insert(path.to_owned(), value);
            true
        }
        Some((part, rest)) => {
            let inner = document.entry(part).or_insert_with(|| Value::Object(Object::new()));
            inner.as_object_mut().is_some_and(|inner| set(inner, rest, value))
        }
    }
}

/// Takes the value at a path away.
pub(crate) fn unset(document: &mut Object, path: &str) {
    match path.split_once('.') {
        None => drop(document.shift_remove(path)),
        Some((part, rest)) => {
            if let Some(inner) = document.get_mut(part).and_then(Value::as_object_mut) {
                unset(inner, rest);
            }
        }
    }
}

/// Adds to the number at a path; what is not there counts as 0. False when it is no number.
pub(crate) fn add(document: &mut Object, path: &str, by: f64) -> bool {
    let sum = match get(document, path) {
        None => whole(by),
        Some(Value::Number(number)) => match (number.as_i64(), whole(by).as_i64()) {
            (Some(number), Some(by)) => {
                number.checked_add(by).map_or_else(|| whole(number as f64 + by as f64), Value::from)
            }
            _ => whole(number.as_f64().unwrap_or_default() + by),
        },
        Some(_) => return false,
    };
    set(document, path, sum)
}

/// A number without a fraction as an integer.
fn whole(number: f64) -> Value {
    // Beyond 2^53 not every integer is a float, and nothing is won.
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis_guest::serde_json::json;

    #[test]
    fn fields_of_fields() {
        let mut document = Object::new();
        assert!(set(&mut document, "a.b", json!(1)));
        assert!(add(&mut document, "a.b", 2.0) && add(&mut document, "n", 0.5));
        assert_eq!(Value::Object(document.clone()), json!({"a": {"b": 3}, "n": 0.5}));
        assert!(!set(&mut document, "n.x", json!(1)));
        unset(&mut document, "a.b");
        assert_eq!(get(&document, "a"), Some(&json!({})));
    }
}
