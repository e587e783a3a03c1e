//! The words of a flow's file: what each may say, and how mistakes are told, all at once.
#![allow(clippy::unwrap_used)]

use chassis::config::units::Span;
use chassis::flow::Flow;
use chassis::flow::model::{OnError, Undo, Work};
use chassis::flow::trigger::{Kind, Route};
use std::time::Duration;

const WHOLE: &str = r#"
deadline = "30s"
[input]
ids = { type = "array", items = "integer" }
email = "string"
[idempotency]
key = "${input.email}"
[steps.each]
call = "users.get"
for_each = "input.ids"
limit = 3
input = { id = "${item}", place = "${index}" }
check = { that = "step.output.id == item", code = "not_found", message = "no ${item} at ${index}" }
output = { id = "${step.output.id}" }
on_error = { value = { id = "${item}" } }
policy = { deadline = "2s", attempt_timeout = "500ms", retries = 1 }
stale_if_error = "10m"
undo = { call = "users.forget", input = { id = "${item}", row = "${step.output}" } }
[steps.other]
flow = "get-user"
input = { id = "${steps.each.failed ? 0 : 1}" }
on_error = "continue"
[output]
why = "${steps.each.error == null ? '' : steps.each.error.message}"
[[triggers]]
kind = "http"
method = "PUT"
path = "/users/{id}"
input = { ids = ["${int(request.path.id)}"], email = "${request.body.email}" }
[[triggers]]
kind = "queue"
role = "messages"
queue = "q"
prefetch = 4
dead_letter = "dead"
max_deliveries = 3
input = { ids = [], email = "${message.body.email}" }
[[triggers]]
kind = "schedule"
cron = "0 3 * * *"
input = { ids = [], email = "${tick.at}" }
[[triggers]]
kind = "start"
input = { ids = [1], email = "a" }
"#;

#[test]
fn every_word_is_read() {
    let flow = Flow::parse("test", "test.toml", WHOLE).unwrap();
    assert_eq!(flow.deadline, Some(Duration::from_secs(30)));
    assert!(flow.key.is_some());
    let each = &flow.steps[0];
    assert_eq!(each.for_each.as_ref().unwrap().limit, 3);
    assert!(matches!(each.on_error, OnError::Value(_)));
    let policy = each.policy.as_ref().unwrap();
    assert_eq!(
        (policy.deadline, policy.attempt_timeout, policy.retries),
        (Some(Span::secs(2)), Some(Span::millis(500)), Some(1))
    );
    assert_eq!(each.stale_if_error, Some(Duration::from_secs(600)));
    assert!(matches!(each.undo, Undo::Call(_)));
    let other = &flow.steps[1];
    assert_eq!((&other.work, &other.needs), (&Work::Flow("get-user".to_owned()), &vec![0]));
    assert!(matches!((&other.on_error, &other.undo), (OnError::Continue, Undo::Unsaid)));
    let kinds: Vec<&str> = flow.triggers.iter().map(|trigger| trigger.kind.as_str()).collect();
    assert_eq!(kinds, ["http", "queue", "schedule", "start"]);
    let Kind::Http(route) = &flow.triggers[0].kind else { panic!("{:?}", flow.triggers[0]) };
    assert_eq!(*route, Route { method: "PUT".to_owned(), path: "/users/{id}".to_owned() });
    let Kind::Queue(source) = &flow.triggers[1].kind else { panic!("{:?}", flow.triggers[1]) };
    assert_eq!((source.prefetch, source.max_deliveries, source.dead_letter.as_deref()), (4, 3, Some("dead")));
}

#[test]
fn a_version_is_the_content_and_nothing_else() {
    let parse = |name, text: &str| Flow::parse(name, "a.toml", text).unwrap().version;
    let version = parse("test", WHOLE);
    assert_eq!(version, parse("test", WHOLE));
    assert_ne!(version, parse("other", WHOLE));
    assert_ne!(version, parse("test", &WHOLE.replace("30s", "31s")));
}

#[test]
fn what_is_not_said_has_its_default() {
    let text = "[steps.a]\ncall = \"x.y\"\nfor_each = \"[1, 2]\"\n[[triggers]]\nkind = \"queue\"\nrole = \"m\"\nqueue = \"q\"\n[[triggers]]\nkind = \"http\"\npath = \"/a\"";
    let flow = Flow::parse("test", "test.toml", text).unwrap();
    let step = &flow.steps[0];
    assert_eq!(step.for_each.as_ref().unwrap().limit, 8);
    assert!(matches!((&step.on_error, &step.undo), (OnError::Fail, Undo::Unsaid)));
    assert!(step.policy.is_none() && step.stale_if_error.is_none() && step.output.is_none());
    let Kind::Queue(source) = &flow.triggers[0].kind else { panic!("{:?}", flow.triggers[0]) };
    assert_eq!((source.prefetch, source.max_deliveries, &source.dead_letter), (16, 5, &None));
    let Kind::Http(route) = &flow.triggers[1].kind else { panic!("{:?}", flow.triggers[1]) };
    assert_eq!(route.method, "POST");
}

#[test]
fn a_wrong_word_is_told_where_it_stands() {
    let step = |more: &str| format!("[steps.a]\ncall = \"x.y\"\n{more}");
    let trigger = |more: &str| format!("[steps.a]\ncall = \"x.y\"\n[[triggers]]\n{more}");
    let cases = [
        (step("limit = 2"), "3:9: steps.a.limit: limits the items of `for_each`, which is not said"),
        (step("for_each = \"[1]\"\nlimit = 0"), "4:9: steps.a.limit: must be a whole number from 1 on"),
        (
            step("for_each = \"iput\""),
            "3:13: steps.a.for_each: `iput`: there is no name `iput`; did you mean `input`?",
        ),
        (
            step("input = { a = \"x ${item}\" }"),
            "3:20: steps.a.input.a: `item`: `item` is known only where the step says `for_each`",
        ),
        (
            step("when = \"index == 1\"\nfor_each = \"[1]\""),
            "3:9: steps.a.when: `index == 1`: `index` is known only where the step says `for_each`",
        ),
        (
            step("on_error = \"contine\""),
            "3:12: steps.a.on_error: there is no way to go on `contine`; did you mean `continue`?; or a table: { value = … }",
        ),
        (
            step("on_error = { value = 1, valu = 1 }"),
            "3:25: steps.a.on_error.valu: there is no field `valu`; did you mean `value`?",
        ),
        (step("policy = { retries = 11 }"), "3:22: steps.a.policy.retries: must be a number from 0 to 10"),
        (
            step("policy = { deadlin = 1 }"),
            "3:12: steps.a.policy.deadlin: there is no policy `deadlin` here; did you mean `deadline`?",
        ),
        (
            step("stale_if_error = \"soon\""),
            "3:18: steps.a.stale_if_error: must be a time such as \"250ms\" or \"10s\", or a number of milliseconds",
        ),
        (step("flow = \"b\""), "3:8: steps.a.flow: a step has `call` or `flow`, not both"),
        (
            "[steps.a]\nflow = \"b\"\nundo = \"none\"".to_owned(),
            "3:8: steps.a.undo: stands beside `call` only: a flow says this of its own steps",
        ),
        ("deadline = 0\n[steps.a]\ncall = \"x.y\"".to_owned(), "1:12: deadline: must be longer than nothing"),
        (
            "idempotency.key = \"a\"\n[steps.a]\ncall = \"x.y\"".to_owned(),
            "1:19: idempotency.key: would be the same for every run: name a field, as in \"${input.email}\"",
        ),
        (
            "idempotency.key = \"${run.id}\"\n[steps.a]\ncall = \"x.y\"".to_owned(),
            "1:22: idempotency.key: `run.id`: there is no name `run`; there are: input",
        ),
        (
            trigger("kind = \"quue\""),
            "4:8: triggers[0].kind: there is no kind of trigger `quue`; did you mean `queue`?",
        ),
        (trigger("kind = \"queue\"\nrole = \"m\""), "3:1: triggers[0]: `queue` is missing"),
        (
            trigger("kind = \"queue\"\nrole = \"m\"\nqueue = \"q\"\ndead_letter = \"q\""),
            "7:15: triggers[0].dead_letter: is the queue itself: its messages would go round for ever",
        ),
        (
            trigger("kind = \"queue\"\nrole = \"m\"\nqueue = \"q\"\ninput = { a = \"${message.bdy}\" }"),
            "7:18: triggers[0].input.a: `message.bdy`: there is no field of `message` `bdy`; did you mean `body`?",
        ),
        (trigger("kind = \"http\"\npath = \"users\""), "5:8: triggers[0].path: must begin with `/`"),
        (
            trigger("kind = \"http\"\npath = \"/u\"\nmethod = \"POTS\""),
            "6:10: triggers[0].method: there is no method `POTS`; did you mean `POST`?",
        ),
        (
            trigger("kind = \"http\"\npath = \"/users/{id}\""),
            "5:8: triggers[0].path: nothing takes `id`: say `input`, with `${request.path.id}`",
        ),
        (trigger("kind = \"http\"\npath = \"/a//b\""), "5:8: triggers[0].path: each part must be letters"),
        (
            trigger("kind = \"schedule\"\ncron = \"61 * * * *\""),
            "5:8: triggers[0].cron: `61 * * * *` is no schedule",
        ),
        (
            trigger("kind = \"start\"\ncron = \"* * * * *\""),
            "5:1: triggers[0].cron: there is no field `cron`",
        ),
        (
            "[steps.a]\ncall = \"x.y\"\n[triggers]\nkind = \"start\"".to_owned(),
            "3:1: triggers: must be a list, but is of type table; write [[triggers]], with two brackets",
        ),
    ];
    for (text, expected) in cases {
        let told = Flow::parse("bad", "bad.toml", &text).unwrap_err().to_string();
        assert!(
            told.starts_with(&format!("bad.toml:{expected}")),
            "{text}\n told: {told}\nwanted: {expected}"
        );
    }
}

#[test]
fn all_mistakes_are_told_in_the_order_of_the_file() {
    let text = "deadlin = 1\n[input]\nage = \"intger\"\n[steps.a]\ncall = \"x\"\n[steps.b]\ncall = \"x.y\"\ninput = { a = \"${input.agee}\", b = \"${steps.c.output}\" }\nafter = [\"aa\"]\n[[triggers]]\nkind = \"schedule\"\ncron = \"never\"";
    let told = Flow::parse("bad", "bad.toml", text).unwrap_err();
    let places: Vec<(usize, usize, &str)> =
        told.0.iter().map(|error| (error.line, error.column, error.field.as_str())).collect();
    assert_eq!(
        places,
        [
            (1, 1, "deadlin"),
            (3, 7, "input.age"),
            (5, 8, "steps.a.call"),
            (8, 18, "steps.b.input.a"),
            (8, 39, "steps.b.input.b"),
            (9, 10, "steps.b.after[0]"),
            (12, 8, "triggers[0].cron"),
        ]
    );
}
