//! How deep values of a run may be nested. The journal writes them within entries of its own, and must be able to read them back: a run
//! that is given something deeper does not begin, and a step that answers it, or is to be sent with it, fails.

use serde_json::Value;

/// Of what a run is started with, and of what a step answers.
pub const GIVEN: usize = 64;
/// Of what a flow makes of those. JSON is read to a depth of 128 at most, and an entry adds a few.
pub const MADE: usize = 96;

/// Whether a value is nested deeper than that.
pub fn is_deeper(value: &Value, than: usize) -> bool {
    let Some(left) = than.checked_sub(1) else { return matches!(value, Value::Array(_) | Value::Object(_)) };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper(item, left)),
        Value::Object(fields) => fields.values().any(|field| is_deeper(field, left)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_and_objects_count_and_what_is_in_them_does_not() {
        assert!(!is_deeper(&json!(1), 0));
        assert!(is_deeper(&json!([]), 0));
        assert!(!is_deeper(&json!([1, {"a": 2}]), 2));
        assert!(is_deeper(&json!([1, {"a": [2]}]), 2));
    }
}
