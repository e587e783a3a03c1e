//! Overrides from the environment: `CHASSIS__EDGE__LISTEN=0.0.0.0:7700` sets `edge.listen`.

use super::problem::{Problem, Problems};
use super::tree::{Node, Origin, Text, Value};
use std::collections::BTreeMap;

/// What the names of overriding variables begin with.
pub const PREFIX: &str = "CHASSIS__";

/// Puts every variable that begins with [`PREFIX`] in its place in the tree.
pub fn overrides(
    tree: &mut Node,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let mut variables: Vec<_> = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with(PREFIX) && name.len() > PREFIX.len())
        .collect();
    // In a fixed order, so that the same environment always gives the same settings.
    variables.sort();
    for (name, value) in variables {
        let origin = Origin::Variable(name.as_str().into());
        let path: Vec<&str> = name[PREFIX.len()..].split("__").collect();
        if let Err(problem) = set(tree, &path, value, &origin) {
            problems.0.push(problem.at(&origin));
        }
    }
    problems.into_result()
}

fn set(node: &mut Node, path: &[&str], value: String, origin: &Origin) -> Result<(), Problem> {
    let Some((segment, rest)) = path.split_first() else {
        // The characters of a password mean only themselves: nothing is filled in here.
        node.value = Value::Text(Text { text: value, loose: true, secret: false });
        node.origin = origin.clone();
        return Ok(());
    };
    let Value::Table(table) = &mut node.value else {
        return Err(Problem::new(format!(
            "`{}` is {}, and has no keys of its own",
            segment.to_lowercase(),
            node.kind()
        )));
    };
    if segment.is_empty() {
        return Err(Problem::new("the name has an empty part").advice("parts are joined by two underscores"));
    }
    let key = table.keys().find(|key| same(key, segment)).cloned().unwrap_or_else(|| segment.to_lowercase());
    let empty = || Node { value: Value::Table(BTreeMap::new()), origin: origin.clone() };
    set(table.entry(key).or_insert_with(empty), rest, value, origin)
}

/// Variables are upper case and have no dashes.
fn same(key: &str, segment: &str) -> bool {
    key.len() == segment.len()
        && key
            .bytes()
            .zip(segment.bytes())
            .all(|(key, segment)| key.eq_ignore_ascii_case(&segment) || (key == b'-' && segment == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_takes_the_place_of_what_the_file_says_or_makes_it() {
        let mut tree =
            Node::parse("[edge]\nlisten = \"a\"\n[instances.my-db.config]\nurl = \"x\"", "f").unwrap();
        let variables = [
            ("CHASSIS__EDGE__LISTEN", "b"),
            ("CHASSIS__INSTANCES__MY_DB__CONFIG__URL", "${y}"),
            ("CHASSIS__INSTANCES__NEW__PLUGIN", "redis"),
            ("CHASSIS_PLUGINS_DIR", "elsewhere"),
        ];
        overrides(&mut tree, variables.map(|(name, value)| (name.into(), value.into()))).unwrap();
        let expected = serde_json::json!({
            "edge": {"listen": "b"},
            "instances": {"my-db": {"config": {"url": "${y}"}}, "new": {"plugin": "redis"}},
        });
        assert_eq!(tree.json(), expected);
    }

    #[test]
    fn a_value_has_no_keys() {
        let mut tree = Node::parse("flows_dir = \"flows\"", "f").unwrap();
        let error = overrides(&mut tree, [("CHASSIS__FLOWS_DIR__X".into(), "1".into())]).unwrap_err();
        assert!(error.to_string().contains("CHASSIS__FLOWS_DIR__X"), "{error}");
    }
}
