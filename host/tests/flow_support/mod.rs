//! Backends played by a script: each call with an effect leaves a mark, its undo wipes the mark away, and the script says which
//! calls fail and how.
#![allow(dead_code, clippy::unwrap_used)]

use chassis::error::CallFailure;
use chassis::flow::trace::Spans;
use chassis::flow::{Calls, Engine, Flow, FlowSet, Nature};
use chassis::request::Context;
use chassis_abi::Code;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The backend refuses; it did nothing.
    Refused(Code),
    /// No answer came, and nothing was done.
    LostBefore,
    /// No answer came, and it was done.
    LostAfter,
}

impl Fault {
    pub const ALL: [Fault; 5] = [
        Fault::Refused(Code::AlreadyExists),
        Fault::Refused(Code::Unavailable),
        Fault::Refused(Code::Internal),
        Fault::LostBefore,
        Fault::LostAfter,
    ];
}

/// What a script is asked, and what it answers.
type Answer = fn(&str, &Value) -> Value;

/// Flows by name.
pub fn flows(texts: &[(&str, &str)]) -> FlowSet {
    let mut set = FlowSet::default();
    for (name, text) in texts {
        set.insert(Flow::parse(name, &format!("{name}.toml"), text).unwrap());
    }
    set
}

/// How an effect is told from others, given its call's input.
type Mark = fn(&Value) -> String;

#[derive(Default)]
pub struct Script {
    answers: HashMap<String, Answer>,
    /// Operation to the operation whose mark it wipes away, and how a mark is named.
    effects: Vec<(String, Mark)>,
    wipes: Vec<(String, String, Mark)>,
    pub faults: Mutex<BTreeMap<String, Fault>>,
    pub delays: Mutex<BTreeMap<String, Duration>>,
    pub marks: Mutex<BTreeSet<String>>,
    pub log: Mutex<Vec<Called>>,
}

#[derive(Clone, Debug)]
pub struct Called {
    pub call: String,
    pub input: Value,
    pub key: String,
    pub deadline: bool,
    pub overrides: Option<chassis::policy::Overrides>,
    pub started: tokio::time::Instant,
    pub ended: Option<tokio::time::Instant>,
}

impl Script {
    pub fn answer(mut self, call: &str, answer: Answer) -> Self {
        self.answers.insert(call.to_owned(), answer);
        self
    }

    pub fn effect(mut self, call: &str, mark: Mark) -> Self {
        self.effects.push((call.to_owned(), mark));
        self
    }

    pub fn wipe(mut self, call: &str, of: &str, mark: Mark) -> Self {
        self.wipes.push((call.to_owned(), of.to_owned(), mark));
        self
    }

    pub fn fail(&self, call: &str, fault: Fault) {
        self.faults.lock().unwrap().insert(call.to_owned(), fault);
    }

    pub fn delay(&self, call: &str, ms: u64) {
        self.delays.lock().unwrap().insert(call.to_owned(), Duration::from_millis(ms));
    }

    pub fn called(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().map(|called| called.call.clone()).collect()
    }

    pub fn marks(&self) -> Vec<String> {
        self.marks.lock().unwrap().iter().cloned().collect()
    }

    fn apply(&self, call: &str, input: &Value) {
        let mut marks = self.marks.lock().unwrap();
        for (effect, mark) in &self.effects {
            if effect == call {
                marks.insert(format!("{call} {}", mark(input)));
            }
        }
        for (wipe, of, mark) in &self.wipes {
            if wipe == call {
                marks.remove(&format!("{of} {}", mark(input)));
            }
        }
    }
}

impl Calls for Script {
    fn call<'a>(
        &'a self,
        role: &'a str,
        operation: &'a str,
        input: &Value,
        context: Context,
    ) -> BoxFuture<'a, Result<Value, CallFailure>> {
        let call = format!("{role}.{operation}");
        let input = input.clone();
        Box::pin(async move {
            let at = {
                let mut log = self.log.lock().unwrap();
                log.push(Called {
                    call: call.clone(),
                    input: input.clone(),
                    key: context.idempotency_key.as_deref().unwrap_or_default().to_owned(),
                    deadline: context.deadline.is_some(),
                    overrides: context.overrides.as_deref().copied(),
                    started: tokio::time::Instant::now(),
                    ended: None,
                });
                log.len() - 1
            };
            let delay = self.delays.lock().unwrap().get(&call).copied();
            tokio::time::sleep(delay.unwrap_or(Duration::from_millis(1))).await;
            let fault = self.faults.lock().unwrap().get(&call).copied();
            if matches!(fault, None | Some(Fault::LostAfter)) {
                self.apply(&call, &input);
            }
            self.log.lock().unwrap()[at].ended = Some(tokio::time::Instant::now());
            match fault {
                None => Ok(self.answers.get(&call).map_or(json!({}), |answer| answer(operation, &input))),
                Some(Fault::Refused(code)) => Err(CallFailure::new(code, format!("{call} refused"))),
                Some(_) => {
                    let mut failure =
                        CallFailure::new(Code::DeadlineExceeded, format!("{call} gave no answer"));
                    failure.error.maybe_applied = true;
                    Err(failure)
                }
            }
        })
    }

    fn nature(&self, _: &str, operation: &str) -> Nature {
        let reads = ["get", "find", "find_one", "query", "search", "count", "depth"].contains(&operation);
        let repeatable = reads || ["set", "index", "update", "delete", "retract"].contains(&operation);
        Nature { reads, repeatable }
    }

    fn system(&self, _: &str, _: &str) -> Option<String> {
        None
    }

    fn roles(&self) -> Arc<Value> {
        Arc::new(json!({ "users": "embedded" }))
    }
}

/// Five stores as create-user sees them.
pub fn stores() -> Script {
    fn text(value: &Value, pointer: &str) -> String {
        value.pointer(pointer).map(Value::to_string).unwrap_or_else(|| format!("without {pointer}"))
    }
    Script::default()
        .answer("users.insert", |_, input| {
            let mut row = input["values"].clone();
            row["id"] = json!(7);
            json!({ "row": row })
        })
        .answer("preferences.insert", |_, input| json!({ "id": input["document"]["_id"] }))
        .answer("messages.publish", |_, input| json!({ "message_id": input["message_id"] }))
        .effect("users.insert", |input| text(input, "/values/run_id"))
        .wipe("users.delete", "users.insert", |input| text(input, "/key/run_id"))
        .effect("preferences.insert", |input| text(input, "/document/_id") + &text(input, "/document/run_id"))
        .wipe("preferences.delete", "preferences.insert", |input| {
            text(input, "/filter/_id") + &text(input, "/filter/run_id")
        })
        .effect("sessions.set", |input| text(input, "/key"))
        .wipe("sessions.delete", "sessions.set", |input| text(input, "/key"))
        .effect("search.index", |input| text(input, "/id"))
        .wipe("search.delete", "search.index", |input| text(input, "/id"))
        .effect("messages.publish", |input| text(input, "/message_id"))
        .wipe("messages.retract", "messages.publish", |input| text(input, "/message_id"))
}

pub fn shipped() -> FlowSet {
    FlowSet::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../flows")).unwrap()
}

pub fn flow(text: &str) -> FlowSet {
    flows(&[("test", text)])
}

pub fn engine(flows: FlowSet, script: &Arc<Script>) -> Engine {
    Engine::new(flows, script.clone(), Spans::default())
}
