//! Whether a value is what was expected.

use serde_json::Value;

/// A difference, and the way to it through fields and items.
#[derive(Debug, PartialEq)]
pub struct Difference {
    pub way: Vec<String>,
    /// What was expected; nothing where something is too much.
    pub expected: Option<Value>,
    /// What there is; nothing where it is missing.
    pub got: Option<Value>,
}

/// Where `got` is not what is expected: an object may have more fields than are named, but a list no more items.
pub fn among(expected: &Value, got: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(expected, Some(got), false, &mut Vec::new(), &mut found);
    found
}

/// The same where nothing more may be there.
pub fn exactly(expected: &Value, got: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(expected, Some(got), true, &mut Vec::new(), &mut found);
    found
}

fn compare(
    expected: &Value,
    got: Option<&Value>,
    exact: bool,
    way: &mut Vec<String>,
    found: &mut Vec<Difference>,
) {
    match (expected, got) {
        (Value::Object(wanted), Some(Value::Object(fields))) => {
            for (name, wanted) in wanted {
                way.push(name.clone());
                compare(wanted, fields.get(name), exact, way, found);
                way.pop();
            }
            for (name, more) in fields.iter().filter(|(name, _)| exact && !wanted.contains_key(*name)) {
                let way = way.iter().chain([name]).cloned().collect();
                found.push(Difference { way, expected: None, got: Some(more.clone()) });
            }
        }
        (Value::Array(wanted), Some(Value::Array(items))) if wanted.len() == items.len() => {
            for (at, (wanted, item)) in wanted.iter().zip(items).enumerate() {
                way.push(at.to_string());
                compare(wanted, Some(item), exact, way, found);
                way.pop();
            }
        }
        // To a flow, what is left out and what is null are the same.
        (Value::Null, None) => {}
        (_, Some(got)) if same(expected, got) => {}
        _ => found.push(Difference { way: way.clone(), expected: Some(expected.clone()), got: got.cloned() }),
    }
}

/// Whole numbers are the same however they are written.
fn same(expected: &Value, got: &Value) -> bool {
    expected == got || (expected.is_number() && got.is_number() && expected.as_f64() == got.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ways(found: Vec<Difference>) -> Vec<String> {
        found.into_iter().map(|difference| difference.way.join(".")).collect()
    }

    #[test]
    fn fields_that_are_not_named_may_be_anything_unless_all_is_named() {
        let got = json!({ "id": 1, "rows": [{ "a": 1, "b": 2 }], "none": null });
        for right in
            [json!({}), json!({ "id": 1.0 }), json!({ "rows": [{ "b": 2 }] }), json!({ "more": null })]
        {
            assert_eq!(among(&right, &got), [], "{right}");
        }
        assert_eq!(
            ways(exactly(&json!({ "id": 1, "rows": [{ "a": 1 }], "none": null }), &got)),
            ["rows.0.b"]
        );
        assert_eq!(exactly(&got, &got), []);
    }

    #[test]
    fn each_difference_is_found_with_the_way_to_it() {
        let got = json!({ "id": 1, "rows": [{ "a": 1 }, { "a": 2 }] });
        let wrong = json!({ "id": "1", "rows": [{ "a": 1 }, { "a": 3 }], "gone": true });
        assert_eq!(ways(among(&wrong, &got)), ["id", "rows.1.a", "gone"]);
        let short = among(&json!({ "rows": [{}] }), &got);
        assert_eq!((short.len(), &short[0].way), (1, &vec!["rows".to_owned()]));
        let lost = Difference { way: vec!["x".into()], expected: Some(json!(1)), got: None };
        assert_eq!(among(&json!({ "x": 1 }), &json!({})), [lost]);
        assert_eq!(ways(among(&json!({ "a": 1 }), &json!([]))), [""]);
    }
}
