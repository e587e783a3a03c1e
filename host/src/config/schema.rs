//! Fits a plugin's settings to the schema in its manifest: tells what is wrong with its line, and turns a text that came from
//! outside into the number that is asked for.
//!
//! It knows what generated schemas of settings use. A rule it does not know is left to the plugin, which has the last word when
//! the instance is made.

use super::problem::{Problem, Problems};
use super::tree::{Node, Value as Written, join};
use serde_json::{Map, Value};

/// The settings as JSON; what does not fit is added to `problems`.
pub fn fit(node: &Node, schema: &Value, path: &str, problems: &mut Problems) -> Value {
    Fit { root: schema, problems }.value(node, schema, path)
}

struct Fit<'a> {
    root: &'a Value,
    problems: &'a mut Problems,
}

impl<'a> Fit<'a> {
    fn value(&mut self, node: &Node, schema: &'a Value, path: &str) -> Value {
        let schema = self.resolve(schema);
        for choice in ["anyOf", "oneOf"] {
            if let Some(choices) = schema.get(choice).and_then(Value::as_array) {
                return self.choice(node, choices, path);
            }
        }
        if let [only] = schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
            return self.value(node, only, path);
        }
        let types = types(schema);
        let value = loose(node, &types).unwrap_or_else(|| node.json());
        if !types.is_empty() && !types.iter().any(|wanted| is(&value, wanted)) {
            self.wrong(node, path, format!("expected {}, found {}", types.join(" or "), node.kind()));
            return value;
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.contains(&value)
        {
            let names = allowed.iter().filter_map(Value::as_str);
            let problem = Problem::new("not one of the values that are known").at(&node.origin).field(path);
            self.problems.0.push(problem.known(value.as_str().unwrap_or_default(), names));
        }
        self.bounds(node, &value, schema, path);
        match &node.value {
            Written::Table(_) => self.table(node, schema, path),
            Written::List(list) => match schema.get("items") {
                Some(items) => list
                    .iter()
                    .enumerate()
                    .map(|(at, node)| self.value(node, items, &format!("{path}[{at}]")))
                    .collect(),
                None => value,
            },
            _ => value,
        }
    }

    fn table(&mut self, node: &Node, schema: &'a Value, path: &str) -> Value {
        let Written::Table(table) = &node.value else { return node.json() };
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let mut values = Map::new();
        for (key, node) in table {
            let path = join(path, key);
            let value = match (properties.and_then(|known| known.get(key)), others) {
                (Some(schema), _) => self.value(node, schema, &path),
                (None, Some(Value::Bool(false))) => {
                    let problem = Problem::new("unknown key").at(&node.origin).field(path);
                    self.problems.0.push(
                        problem.known(key, properties.into_iter().flat_map(Map::keys).map(String::as_str)),
                    );
                    continue;
                }
                (None, Some(schema @ Value::Object(_))) => self.value(node, schema, &path),
                (None, _) => node.json(),
            };
            values.insert(key.clone(), value);
        }
        for wanted in
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !table.contains_key(wanted) {
                let said = properties
                    .and_then(|known| known.get(wanted)?.get("description"))
                    .and_then(Value::as_str);
                let problem = Problem::new("missing").at(&node.origin).field(join(path, wanted));
                self.problems.0.push(match said {
                    Some(said) => problem
                        .advice(said.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()),
                    None => problem,
                });
            }
        }
        Value::Object(values)
    }

    /// The first choice that fits; if none does, what is wrong with the first that is no `null`.
    fn choice(&mut self, node: &Node, choices: &'a [Value], path: &str) -> Value {
        let mut first = None;
        for choice in choices {
            let mut problems = Problems::default();
            let value = Fit { root: self.root, problems: &mut problems }.value(node, choice, path);
            if problems.0.is_empty() {
                return value;
            }
            if first.is_none() && types(choice) != ["null"] {
                first = Some(problems);
            }
        }
        self.problems.0.extend(first.unwrap_or_default().0);
        node.json()
    }

    fn bounds(&mut self, node: &Node, value: &Value, schema: &Value, path: &str) {
        let Some(number) = value.as_f64() else { return };
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        if let Some(least) = bound("minimum").filter(|least| number < *least) {
            self.wrong(node, path, format!("{number} is less than {least}"));
        }
        if let Some(most) = bound("maximum").filter(|most| number > *most) {
            self.wrong(node, path, format!("{number} is more than {most}"));
        }
    }

    fn wrong(&mut self, node: &Node, path: &str, message: String) {
        self.problems.0.push(Problem::new(message).at(&node.origin).field(path));
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        target.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is(value: &Value, wanted: &str) -> bool {
    match wanted {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

/// A text that came from a variable or a file, as the number or truth value that is asked for.
fn loose(node: &Node, types: &[&str]) -> Option<Value> {
    let Written::Text(text) = &node.value else { return None };
    if !text.loose || types.contains(&"string") {
        return None;
    }
    let value: Value = serde_json::from_str(text.text.trim()).ok()?;
    types.iter().any(|wanted| is(&value, wanted)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "url": {"type": "string", "description": "Where the server is."},
                "pool": {"type": ["integer", "null"], "minimum": 1, "maximum": 100},
                "tls": {"$ref": "#/$defs/Tls"},
                "limits": {"anyOf": [{"$ref": "#/$defs/Limits"}, {"type": "null"}]},
            },
            "required": ["url"],
            "additionalProperties": false,
            "$defs": {
                "Tls": {"type": "string", "enum": ["off", "require"]},
                "Limits": {"type": "object", "properties": {"size": {"type": "integer"}}, "additionalProperties": false},
            },
        })
    }

    fn fitted(text: &str) -> Result<Value, String> {
        let node = Node::parse(text, "t.toml").map_err(|problem| problem.to_string())?;
        let mut problems = Problems::default();
        let schema = schema();
        let value = fit(&node, &schema, "c", &mut problems);
        problems.into_result().map(|()| value).map_err(|problems| problems.to_string())
    }

    #[test]
    fn what_fits_is_handed_on_as_it_is() {
        let value = fitted("url = \"x\"\npool = 5\ntls = \"off\"\nlimits = { size = 3 }").unwrap();
        assert_eq!(value, json!({"url": "x", "pool": 5, "tls": "off", "limits": {"size": 3}}));
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_line() {
        for (text, message) in [
            ("url = \"x\"\npol = 5", "t.toml:2: c.pol: unknown key; did you mean `pool`?"),
            ("pool = 5", "t.toml:1: c.url: missing; Where the server is"),
            ("url = 5", "t.toml:1: c.url: expected string, found a whole number"),
            ("url = \"x\"\npool = 0", "t.toml:2: c.pool: 0 is less than 1"),
            (
                "url = \"x\"\n\ntls = \"of\"",
                "t.toml:3: c.tls: not one of the values that are known; did you mean `off`?",
            ),
            ("url = \"x\"\n[limits]\nsice = 1", "t.toml:3: c.limits.sice: unknown key; did you mean `size`?"),
        ] {
            assert_eq!(fitted(text).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn a_text_from_outside_becomes_the_number_that_is_asked_for() {
        let mut node = Node::parse("url = \"5\"\npool = \"5\"", "t.toml").unwrap();
        let schema = schema();
        let mut problems = Problems::default();
        fit(&node, &schema, "c", &mut problems);
        assert_eq!(problems.0.len(), 1);
        let _ = node.each_text::<()>("", &mut |_, _, text| {
            text.loose = true;
            Ok(())
        });
        let mut problems = Problems::default();
        assert_eq!(fit(&node, &schema, "c", &mut problems), json!({"url": "5", "pool": 5}));
        assert!(problems.0.is_empty(), "{problems}");
    }
}
