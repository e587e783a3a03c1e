//! A dashboard in which nothing is wrong, and ways to break it.

use super::model::Dashboard;
use super::{check, grafana, house};
use serde_json::{Value, json};
use std::path::Path;

/// A dashboard with something wrong in it.
pub struct Broken(Value);

fn good() -> Value {
    serde_json::from_str(include_str!("good.json")).unwrap()
}

/// The good one, with another value at this pointer.
pub fn broken(at: &str, value: Value) -> Broken {
    Broken(good()).and(at, value)
}

impl Broken {
    /// And another value at this pointer, too.
    pub fn and(mut self, at: &str, value: Value) -> Self {
        let (parent, key) = at.rsplit_once('/').unwrap();
        match self.0.pointer_mut(parent).unwrap_or_else(|| panic!("nothing at {parent}")) {
            Value::Object(object) => drop(object.insert(key.to_owned(), value)),
            Value::Array(items) if key == "-" => items.push(value),
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
            other => panic!("{other} at {parent}"),
        }
        self
    }

    /// And nothing at this pointer.
    pub fn without(mut self, at: &str) -> Self {
        let (parent, key) = at.rsplit_once('/').unwrap();
        self.0.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        self
    }
}

fn findings(rule: &str, dashboard: Value) -> Vec<String> {
    let rules: Vec<_> = grafana().into_iter().chain(house()).filter(|known| known.name == rule).collect();
    assert_eq!(rules.len(), 1, "rules named {rule}");
    let dashboard = Dashboard::parse(&dashboard.to_string(), Path::new("good.json")).unwrap();
    check(&rules, &[dashboard]).iter().map(ToString::to_string).collect()
}

/// The rule finds something, and nothing in the good one.
#[track_caller]
pub fn finds(rule: &str, broken: Broken) {
    assert_eq!(findings(rule, good()), [""; 0], "in the good one");
    assert_ne!(findings(rule, broken.0), [""; 0], "{rule} finds nothing");
}

/// The rule lets it pass.
#[track_caller]
pub fn passes(rule: &str, broken: Broken) {
    assert_eq!(findings(rule, broken.0), [""; 0]);
}

#[test]
fn a_pointer_sets_and_takes_away() {
    let both = broken("/title", json!("other")).and("/tags/-", json!("more")).without("/uid");
    assert_eq!(
        (&both.0["title"], &both.0["tags"][1], &both.0["uid"]),
        (&json!("other"), &json!("more"), &Value::Null)
    );
}
