//! Flow files: what they may say, and how mistakes in them are told.
#![allow(clippy::unwrap_used)]

mod flow_support;

use chassis::flow::{Flow, FlowSet, RunState, StepState};
use chassis::request::Context;
use chassis_abi::Code;
use flow_support::{Script, engine, flow, shipped};
use serde_json::{Value, json};
use std::sync::Arc;

async fn run(text: &str, script: Script, input: Value) -> chassis::flow::RunOutcome {
    engine(flow(text), &Arc::new(script)).run("test", input, Context::default()).await.unwrap()
}

#[test]
fn mistakes_are_told_with_file_line_field_and_the_nearest_name() {
    let cases = [
        (
            "[steps.a]\ncall = \"x.y\"\ninptu = {}",
            "bad.toml:3:1: steps.a.inptu: there is no field `inptu`; did you mean `input`?",
        ),
        (
            "[steps.a]\ncall = \"x\"",
            "bad.toml:2:8: steps.a.call: must name a role and an operation: `users.insert`",
        ),
        ("[steps.a]\ninput = {}", "bad.toml:1:1: steps.a: `call` is missing"),
        ("description = \"x\"", "bad.toml:1:1: `steps` is missing"),
        (
            "[steps.a]\ncall = \"x.y\"\n[steps.b]\ncall = \"x.y\"\nafter = [\"aa\"]",
            "bad.toml:5:10: steps.b.after[0]: there is no step `aa`; did you mean `a`?",
        ),
        (
            "[input]\nemail = \"string\"\n[steps.a]\ncall = \"x.y\"\ninput = { e = \"${input.emial}\" }",
            "bad.toml:5:18: steps.a.input.e: `input.emial`: there is no input field `emial`; did you mean `email`?",
        ),
        (
            "[steps.user]\ncall = \"x.y\"\n[steps.b]\ncall = \"x.y\"\nwhen = \"steps.usr.output.a == 1\"",
            "bad.toml:5:9: steps.b.when: `steps.usr.output.a == 1`: there is no step `usr`; did you mean `user`?",
        ),
        (
            "[steps.a]\ncall = \"x.y\"\n[steps.b]\ncall = \"x.y\"\nwhen = \"steps.a.outptu.x\"",
            "bad.toml:5:9: steps.b.when: `steps.a.outptu.x`: there is no field of a step `outptu`; did you mean `output`?",
        ),
        (
            "[steps.a]\ncall = \"x.y\"\ninput = { a = \"${step.output}\" }",
            "bad.toml:3:18: steps.a.input.a: `step.output`: `step` is known in `check`, `output` and `undo` only",
        ),
        (
            "[steps.a]\ncall = \"x.y\"\nundo = \"nothing\"",
            "bad.toml:3:8: steps.a.undo: must be a table with `call` and `input`, or \"none\"",
        ),
        (
            "[input]\nage = \"intger\"\n[steps.a]\ncall = \"x.y\"",
            "bad.toml:2:7: input.age: there is no type `intger`; did you mean `integer`?",
        ),
        (
            "[steps.a]\ncall = \"x.y\"\ncheck = { that = \"true\", code = \"notfound\", message = \"\" }",
            "bad.toml:3:33: steps.a.check.code: there is no code `notfound`; did you mean `not_found`?",
        ),
        (
            "[steps.a]\ncall = \"x.y\"\ninput = { a = \"${ now\" }",
            "bad.toml:3:15: steps.a.input.a: `${` without its `}` in \"${ now\"",
        ),
        (
            "[steps.A]\ncall = \"x.y\"",
            "bad.toml:1:8: steps.A: a step's name has small letters, digits and _, so that expressions can use it",
        ),
        (
            "consumes = \"b\"\n[steps.a]\ncall = \"x.y\"",
            "bad.toml:1:12: consumes: there is no step `b`; did you mean `a`?",
        ),
    ];
    for (text, expected) in cases {
        let told = Flow::parse("bad", "bad.toml", text).unwrap_err().to_string();
        assert_eq!(told, expected, "{text}");
    }
    let told = Flow::parse("bad", "bad.toml", "[steps.a]\ncall = ").unwrap_err();
    let told = &told.0[0];
    assert_eq!((told.line, told.file.as_str()), (2, "bad.toml"));
    let told = Flow::parse("bad", "bad.toml", "[steps.a]\ncall = \"x.y\"\nwhen = \"1 +\"").unwrap_err();
    assert!(told.0[0].message.contains("`1 +` is not a CEL expression"), "{told}");
}

#[test]
fn steps_that_wait_for_each_other_are_refused() {
    let text = "[steps.a]\ncall = \"x.y\"\nafter = [\"c\"]\n[steps.b]\ncall = \"x.y\"\ninput = { a = \"${steps.a.output}\" }\n[steps.c]\ncall = \"x.y\"\nwhen = \"steps.b.skipped\"";
    let told = Flow::parse("bad", "bad.toml", text).unwrap_err();
    assert_eq!(told.0[0].message, "waits for itself: a → c → b → a");
    let own = "[steps.a]\ncall = \"x.y\"\nundo = { call = \"x.z\", input = { a = \"${steps.a.output}\" } }";
    let told = Flow::parse("bad", "bad.toml", own).unwrap_err();
    assert_eq!(told.0[0].message, "uses its own result: write `step.output` instead of `steps.a.output`");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_told_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.toml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (_, errors) = FlowSet::load_what_can_be(folder.path());
    assert!(
        errors.to_string().contains("pipe.toml:1:1") && errors.to_string().contains("no file"),
        "{errors}"
    );
}

#[tokio::test]
async fn what_the_journal_could_not_give_back_is_refused_before_anything_is_done() {
    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!(1), |inner, _| json!([inner]))
    }
    let text = "[input]\ndata = \"any\"\n[steps.a]\ncall = \"x.y\"\ninput = { data = \"${input.data}\" }\nundo = \"none\"";
    let ended = run(text, Script::default(), json!({ "data": nested(60) })).await;
    assert_eq!(ended.state, RunState::Completed);
    let script = Arc::new(Script::default());
    let input = json!({ "data": nested(70) });
    let refused = engine(flow(text), &script).run("test", input, Context::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.to_string().contains("64 levels"), "{refused}");
    // What a flow makes of it counts too.
    let wrapped = format!("{}\"${{input.data}}\"{}", "[".repeat(40), "]".repeat(40));
    let text = format!(
        "[input]\ndata = \"any\"\n[steps.a]\ncall = \"x.y\"\ninput = {{ data = {wrapped} }}\nundo = \"none\""
    );
    let ended = run(&text, Script::default(), json!({ "data": nested(60) })).await;
    assert_eq!(ended.state, RunState::Undone);
    assert!(ended.error.unwrap().failure.to_string().contains("96 levels"));
}

#[tokio::test]
async fn values_keep_their_types() {
    let text = r#"
        [input]
        n = "integer"
        who = "string"
        opt = "string?"
        [steps.a]
        call = "x.y"
        [steps.a.input]
        whole = "${input.n}"
        sum = "${input.n + 1}"
        text = "n is ${input.n}, who is ${input.who}!"
        list = [1, "${input.n}", 2.5, true]
        map = "${{'a': input.n, 'b': [input.who, null]}}"
        missing = "${input.opt}"
        escaped = "$${input.n}"
        upper = "${input.who.upperAscii()}"
        texts = "${[1, 2, 3].map(x, x * input.n).filter(x, x > 7)}"
        plain = { deep = { er = 1 } }
        maybe = "${has(input.opt) && input.opt != null ? input.opt : 'none'}"
        plugin = "${roles.users}"
    "#;
    let script = Arc::new(Script::default());
    let input = json!({ "n": 7, "who": "ada" });
    let outcome = engine(flow(text), &script).run("test", input, Context::default()).await.unwrap();
    assert_eq!(outcome.state, RunState::Completed, "{outcome:#?}");
    let sent = script.log.lock().unwrap()[0].input.clone();
    assert_eq!(
        sent,
        json!({
            "whole": 7, "sum": 8, "text": "n is 7, who is ada!", "list": [1, 7, 2.5, true], "map": { "a": 7, "b": ["ada", null] },
            "missing": null, "escaped": "${input.n}", "upper": "ADA", "texts": [14, 21], "plain": { "deep": { "er": 1 } },
            "maybe": "none", "plugin": "embedded",
        })
    );
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_refused_by_field() {
    let text = r#"
        [input]
        id = { type = "integer", min = 1 }
        email = { type = "string", format = "email", required = false }
        kind = { type = "string", one_of = ["a", "b"], default = "a" }
        tags = { type = "array", max_length = 2, items = "string", default = [] }
        [input.at]
        type = "object"
        default = {}
        fields.zone = { type = "string", default = "utc", min_length = 2 }
        [steps.a]
        call = "x.y"
        input = { all = "${input}" }
    "#;
    let script = Arc::new(Script::default());
    let engine = engine(flow(text), &script);
    let cases = [
        (json!({}), "id"),
        (json!({ "id": 0 }), "id"),
        (json!({ "id": "1" }), "id"),
        (json!({ "id": 1.5 }), "id"),
        (json!({ "id": 1, "email": "ada" }), "email"),
        (json!({ "id": 1, "kind": "c" }), "kind"),
        (json!({ "id": 1, "tags": ["a", "b", "c"] }), "tags"),
        (json!({ "id": 1, "tags": ["a", 2] }), "tags[1]"),
        (json!({ "id": 1, "at": { "zone": "x" } }), "at.zone"),
        (json!({ "id": 1, "at": { "zon": "utc" } }), "at.zon"),
        (json!({ "id": 1, "emial": "x" }), "emial"),
    ];
    for (input, field) in cases {
        let failure = engine.run("test", input.clone(), Context::default()).await.unwrap_err();
        assert_eq!(failure.code(), Code::InvalidArgument);
        assert_eq!(failure.error.field.as_deref(), Some(field), "{input}: {failure}");
        assert!(failure.error.message.contains(field), "{failure}");
    }
    assert!(engine.run("test", json!([]), Context::default()).await.is_err());
    assert!(script.called().is_empty());
    engine.run("test", json!({ "id": 1 }), Context::default()).await.unwrap();
    let complete = json!({ "id": 1, "email": null, "kind": "a", "tags": [], "at": { "zone": "utc" } });
    assert_eq!(script.log.lock().unwrap()[0].input["all"], complete);
    let failure = engine.run("tset", json!({}), Context::default()).await.unwrap_err();
    assert_eq!(
        (failure.code(), failure.error.message.contains("did you mean `test`?")),
        (Code::NotFound, true)
    );
}

#[tokio::test]
async fn a_step_whose_condition_fails_is_skipped_and_seen_so() {
    let text = r#"
        output = { skipped = "${steps.b.skipped}", value = "${steps.b.output}", after = "${steps.c.output.ok}" }
        [steps.a]
        call = "x.a"
        [steps.b]
        call = "x.b"
        when = "steps.a.output.go"
        [steps.c]
        call = "x.c"
        after = ["b"]
    "#;
    let script = Script::default()
        .answer("x.a", |_, _| json!({ "go": false }))
        .answer("x.c", |_, _| json!({ "ok": true }));
    let outcome = run(text, script, json!({})).await;
    assert_eq!(outcome.output, json!({ "skipped": true, "value": null, "after": true }));
    assert_eq!(outcome.step("b").unwrap().state, StepState::Skipped);
    let script = Script::default().answer("x.a", |_, _| json!({ "go": 1 }));
    let outcome = run(text, script, json!({})).await;
    assert_eq!(outcome.state, RunState::Undone);
    assert!(outcome.error.unwrap().failure.error.message.contains("must be true or false, but is 1"));
}

#[tokio::test]
async fn get_user_reads_the_cache_first_and_fills_it() {
    let script = Script::default()
        .answer("sessions.get", |_, _| json!({ "value": null }))
        .answer("users.get", |_, _| {
            json!({ "row": { "id": 3, "email": "e", "username": "u", "full_name": "f", "bio": "b" } })
        })
        .answer("preferences.find_one", |_, _| {
            json!({ "document": { "theme": "dark", "language": "en", "notifications": true, "x": 1 } })
        });
    let script = Arc::new(script);
    let outcome =
        engine(shipped(), &script).run("get-user", json!({ "id": 3 }), Context::default()).await.unwrap();
    let user = json!({
        "user_id": 3, "email": "e", "username": "u", "full_name": "f", "bio": "b",
        "preferences": { "language": "en", "notifications": true, "theme": "dark" },
    });
    assert_eq!(outcome.output, json!({ "cached": false, "user": user }), "{outcome:#?}");
    let filled =
        script.log.lock().unwrap().iter().find(|call| call.call == "sessions.set").unwrap().input.clone();
    assert_eq!((&filled["key"], &filled["value"]), (&json!("user_session:3"), &user));

    let script =
        Arc::new(Script::default().answer("sessions.get", |_, _| json!({ "value": { "user_id": 3 } })));
    let outcome =
        engine(shipped(), &script).run("get-user", json!({ "id": 3 }), Context::default()).await.unwrap();
    assert_eq!(outcome.output, json!({ "cached": true, "user": { "user_id": 3 } }));
    assert_eq!(script.called(), ["sessions.get"]);

    let script = Script::default()
        .answer("sessions.get", |_, _| json!({ "value": null }))
        .answer("users.get", |_, _| json!({ "row": null }))
        .answer("preferences.find_one", |_, _| json!({ "document": null }));
    let outcome = engine(shipped(), &Arc::new(script))
        .run("get-user", json!({ "id": 3 }), Context::default())
        .await
        .unwrap();
    let error = outcome.error.unwrap().failure;
    assert_eq!((error.code(), error.error.message.as_str()), (Code::NotFound, "there is no user 3"));
}

#[tokio::test]
async fn process_welcome_settles_a_message_or_gives_it_back() {
    let message = |_: &str, _: &Value| json!({ "message": { "body": { "user_id": 3 }, "message_id": "welcome-1", "receipt": "r1" } });
    let script = Arc::new(Script::default().answer("messages.receive", message));
    let outcome =
        engine(shipped(), &script).run("process-welcome", json!({}), Context::default()).await.unwrap();
    assert_eq!(outcome.output, json!({ "processed": true, "message_id": "welcome-1", "user_id": 3 }));
    assert_eq!(script.called(), ["messages.receive", "preferences.update", "messages.ack"]);

    let script = Arc::new(Script::default().answer("messages.receive", message));
    script.fail("preferences.update", flow_support::Fault::Refused(Code::Unavailable));
    let outcome =
        engine(shipped(), &script).run("process-welcome", json!({}), Context::default()).await.unwrap();
    assert_eq!(outcome.state, RunState::Undone);
    assert_eq!(script.called()[1..], ["preferences.update", "messages.nack"]);

    let script = Arc::new(Script::default().answer("messages.receive", |_, _| json!({ "message": null })));
    let outcome =
        engine(shipped(), &script).run("process-welcome", json!({}), Context::default()).await.unwrap();
    assert_eq!(outcome.output, json!({ "processed": false, "message_id": null, "user_id": null }));
    assert_eq!(script.called(), ["messages.receive"]);
}

#[test]
fn the_shipped_flows_are_complete_and_describe_themselves() {
    let flows: FlowSet = shipped();
    let names: Vec<&str> = flows.iter().map(|flow| flow.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "api-health",
            "api-status",
            "create-user",
            "delete-user",
            "get-user",
            "process-welcome",
            "search-users",
            "setup",
            "update-user"
        ]
    );
    for flow in flows.iter() {
        assert!(flow.description.ends_with('.'), "{}", flow.name);
        assert!(
            !flow.steps.iter().any(|step| matches!(step.undo, chassis::flow::model::Undo::Unsaid)),
            "each step of {} says how it is undone",
            flow.name
        );
    }
    let schema = flows.get("create-user").unwrap().input.json_schema();
    assert_eq!(schema["required"], json!(["email", "username", "full_name"]));
    assert_eq!(schema["properties"]["preferences"]["properties"]["theme"]["enum"], json!(["light", "dark"]));
}
