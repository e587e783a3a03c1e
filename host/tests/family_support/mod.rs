//! A flow with all that a flow can have, the flow that it runs, and backends for both.
#![allow(dead_code)]

use crate::flow_support::{Script, flows};
use chassis::flow::FlowSet;
use serde_json::{Value, json};

pub const PARENT: &str = r#"
    [input]
    ids = "array"
    [steps.first]
    call = "a.make"
    input = { mark = "${run.id}" }
    undo = { call = "a.drop", input = { mark = "${step.input.mark}" } }
    [steps.never]
    call = "a.make"
    when = "size(input.ids) > 100"
    [steps.each]
    call = "b.set"
    for_each = "input.ids"
    limit = 2
    after = ["first"]
    input = { mark = "${run.id}-${item}-${index}" }
    output = "${step.output.n + item}"
    undo = { call = "b.drop", input = { mark = "${run.id}-${item}-${index}" } }
    [steps.maybe]
    call = "c.make"
    after = ["first"]
    input = { mark = "${run.id}" }
    on_error = { value = { n = 0 } }
    undo = { call = "c.drop", input = { mark = "${step.input.mark}" } }
    [steps.child]
    flow = "child"
    input = { of = "${steps.first.output.n}" }
    [steps.kids]
    flow = "child"
    for_each = "steps.each.output"
    limit = 2
    input = { of = "${item}" }
    [steps.last]
    call = "d.make"
    after = ["kids", "child", "maybe"]
    input = { mark = "${run.id}" }
    undo = { call = "d.drop", input = { mark = "${step.input.mark}" } }
    [output]
    each = "${steps.each.output}"
    kids = "${steps.kids.output}"
    maybe = "${steps.maybe.output.n}"
    failed = "${steps.maybe.failed}"
"#;

pub const CHILD: &str = r#"
    [input]
    of = "integer"
    [steps.one]
    call = "e.set"
    input = { mark = "${run.id}", of = "${input.of}" }
    undo = { call = "e.drop", input = { mark = "${step.input.mark}" } }
    [steps.two]
    call = "f.make"
    after = ["one"]
    input = { mark = "${run.id}", of = "${input.of}" }
    undo = { call = "f.drop", input = { mark = "${step.input.mark}" } }
    [output]
    twice = "${2 * input.of}"
"#;

pub const CALLS: [&str; 6] = ["a.make", "b.set", "c.make", "d.make", "e.set", "f.make"];

pub fn family() -> FlowSet {
    flows(&[("test", PARENT), ("child", CHILD)])
}

/// Every call leaves a mark of its input's name.
pub fn backends() -> Script {
    fn mark(input: &Value) -> String {
        input["mark"].as_str().unwrap_or_default().to_owned()
    }
    CALLS.iter().fold(Script::default(), |script, call| {
        let wipe = format!("{}drop", &call[..2]);
        script.answer(call, |_, _| json!({ "n": 1 })).effect(call, mark).wipe(&wipe, call, mark)
    })
}
