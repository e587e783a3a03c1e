//! Inputs, outputs and configurations made from what a manifest says.

use chassis_abi::manifest::{Manifest, Operation};
use serde_json::{Map, Value, json};

/// In every configuration and statement; it must be seen nowhere.
pub const CANARY: &str = "hunter2";
/// The span that sent the message which the samples receive.
pub const CREATION: &str = "00-11111111111111111111111111111111-2222222222222222-01";
/// What every table, collection, index and queue is called.
pub const TARGET: &str = "things";

/// An input that the operation's schema allows.
pub fn input(manifest: &Manifest, op: &Operation) -> Value {
    let mut input = sample(&op.input, &op.input);
    let single = manifest.operations.iter().find(|single| {
        single.contract == op.contract && single.batched_by.as_deref() == Some(op.name.as_str())
    });
    if let Some(target) = &op.telemetry.target {
        set(&mut input, target, json!(TARGET));
    } else if let Some(target) = single.and_then(|single| single.telemetry.target.as_ref()) {
        set(&mut input, &format!("/items/0{target}"), json!(TARGET));
    }
    if let Some(text) = &op.telemetry.query_text {
        set(&mut input, text, json!(format!("SELECT * FROM {TARGET} WHERE id = $1 AND pw = '{CANARY}'")));
    }
    if op.contract.as_deref() == Some("http") {
        set(&mut input, "/path", json!("/things/{id}"));
        set(&mut input, "/path_params", json!({"id": 7}));
        set(&mut input, "/query", json!({"api_key": CANARY}));
    }
    if op.contract.as_deref() == Some("queue") {
        // The default exchange: the queue's name is the routing key.
        set(&mut input, "/exchange", Value::Null);
    }
    input
}

/// An output that the operation's schema allows.
pub fn output(op: &Operation) -> Value {
    let mut output = sample(&op.output, &op.output);
    if let Some(message) = output.pointer_mut("/message") {
        message["headers"] = json!({"traceparent": CREATION});
        message["exchange"] = json!("events");
        message["routing_key"] = json!("thing.made");
        message["message_id"] = json!("m-1");
    }
    if op.name == "publish" {
        set(&mut output, "/message_id", json!("m-1"));
    }
    if op.contract.as_deref() == Some("http") {
        set(&mut output, "/status", json!(200));
    }
    output
}

/// A configuration with a server on an unusual port, and a password in its address.
pub fn config(op: &Operation) -> Value {
    let mut config = json!({});
    for at in op.telemetry.namespace.iter().flat_map(|either| either.split(" or ")) {
        set(&mut config, at, json!("space"));
    }
    for place in op.telemetry.server.iter().flat_map(|places| places.split(" or ")) {
        match place.split_once(':') {
            Some((host, port)) => {
                set(&mut config, host, json!("server.example"));
                set(&mut config, port, json!(1234));
            }
            None => set(&mut config, place, json!(format!("http://user:{CANARY}@server.example:1234/base"))),
        }
    }
    config
}

/// A value of a JSON schema: the first of each choice, one item of each list, optional members too.
fn sample(schema: &Value, root: &Value) -> Value {
    if let Some(at) = schema.get("$ref").and_then(Value::as_str) {
        return sample(root.pointer(at.trim_start_matches('#')).unwrap(), root);
    }
    if let Some(value) = schema.get("const").or_else(|| schema.pointer("/enum/0")) {
        return value.clone();
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.pointer(&format!("/{choice}/0")) {
            return sample(first, root);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds[0].as_str().unwrap_or_default(),
        Some(kind) => kind.as_str().unwrap_or_default(),
        None => "",
    };
    match kind {
        "object" => {
            let members = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            Value::Object(members.map(|(name, of)| (name.clone(), sample(of, root))).collect::<Map<_, _>>())
        }
        "array" => match schema.get("items") {
            Some(items) => json!([sample(items, root)]),
            None => json!([]),
        },
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(true),
        "string" => json!("text"),
        _ => Value::Null,
    }
}

fn set(value: &mut Value, at: &str, new: Value) {
    let mut place = value;
    for step in at.split('/').skip(1) {
        place = match step.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[step],
        };
    }
    *place = new;
}
