//! Reads `[[case.fault]]`: the words of `[[faults]]` in a configuration.

use crate::faults::{FaultSpec, Kind};
use crate::flow::document::{Node, Problem, Problems, unknown};
use chassis_abi::Code;
use serde_json::{Map, Value};

/// Reads one fault.
pub fn read(node: &Node<'_>, problems: &mut Problems) -> Option<FaultSpec> {
    let fields = problems.keep(node.fields())?;
    let before = problems.len();
    fields.only(FaultSpec::FIELDS, problems);
    let mut said = Map::new();
    for (name, _, node) in fields.in_order() {
        if FaultSpec::FIELDS.contains(&name)
            && let Some(value) = problems.keep(field(name, &node))
        {
            said.insert(name.to_owned(), value);
        }
    }
    problems.keep(fields.require("kind"));
    if problems.len() > before {
        return None;
    }
    let spec: FaultSpec = problems
        .keep(serde_json::from_value(Value::Object(said)).map_err(|error| node.problem(error.to_string())))?;
    if spec.kind == Kind::Crash {
        let message = "a crash would end the test itself; `cargo xtask faults` and `chassis demo` kill hosts";
        problems.add(node.deepest(&["kind".to_owned()]).problem(message));
        return None;
    }
    if let Err(failure) = spec.check() {
        let field = failure.error.field.clone().unwrap_or_default();
        // The message names its field, as the place does.
        let message = failure.error.message.trim_start_matches(&format!("{field}: ")).to_owned();
        problems.add(node.deepest(&[field]).problem(message));
        return None;
    }
    Some(spec)
}

/// A field by itself, so that what is wrong with it is told where it stands.
fn field(name: &str, node: &Node<'_>) -> Result<Value, Problem> {
    let value = node.json()?;
    let among = |kind: &str, known: Vec<&str>| match known.contains(&node.text()?) {
        true => Ok(()),
        false => Err(node.problem(unknown(kind, node.text()?, &known))),
    };
    match name {
        "kind" => among("kind of fault", Kind::ALL.map(Kind::as_str).to_vec())?,
        "code" => among("code", Code::ALL.iter().map(|code| code.as_str()).collect())?,
        _ => {}
    }
    let alone = Value::Object(Map::from_iter([(name.to_owned(), value.clone())]));
    serde_json::from_value::<FaultSpec>(alone).map(|_| value).map_err(|error| node.problem(error.to_string()))
}
