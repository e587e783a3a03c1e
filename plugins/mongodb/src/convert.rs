//! JSON to BSON and back. What JSON has no word for is relaxed Extended JSON.

use bson::{Bson, Document};
use chassis_guest::Error;
use chassis_guest::contracts::Object;
use serde_json::Value;

/// The operators that the contract names; anything else, `$where` above all, is not let through.
const OPERATORS: &[&str] =
    &["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$and", "$or", "$not"];
/// Extended JSON: values, not operators.
const VALUES: &[&str] = &[
    "$oid",
    "$date",
    "$numberLong",
    "$numberInt",
    "$numberDouble",
    "$numberDecimal",
    "$binary",
    "$uuid",
    "$timestamp",
];

/// An object of the input, as a document.
pub fn document(field: &str, object: Object) -> Result<Document, Error> {
    match Bson::try_from(Value::Object(object)) {
        Ok(Bson::Document(document)) => Ok(document),
        Ok(_) => Err(Error::invalid(field, "a plain document is wanted, not a value of Extended JSON")),
        Err(error) => Err(Error::invalid(field, "not a document").caused_by(&error)),
    }
}

/// A filter of the input, as a document.
pub fn filter(object: Object) -> Result<Document, Error> {
    for (name, value) in &object {
        check_operators(name, value)?;
    }
    document("filter", object)
}

fn check_operators(name: &str, value: &Value) -> Result<(), Error> {
    if name.starts_with('$') && !OPERATORS.contains(&name) && !VALUES.contains(&name) {
        let known = OPERATORS.join(" ");
        return Err(Error::invalid("filter", format!("there is no operator {name}; there are {known}")));
    }
    match value {
        Value::Object(object) => object.iter().try_for_each(|(name, value)| check_operators(name, value)),
        Value::Array(values) => values.iter().try_for_each(|value| check_operators("", value)),
        _ => Ok(()),
    }
}

/// A document, as an object.
pub fn object(document: Document) -> Object {
    document.into_iter().map(|(name, value)| (name, value.into_relaxed_extjson())).collect()
}

/// A number to add: whole where it is whole, so that whole fields stay so.
pub fn number(value: f64) -> Bson {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT { Bson::Int64(value as i64) } else { Bson::Double(value) }
}
