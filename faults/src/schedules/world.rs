//! Five stores in memory that behave as the real ones: what is unique is unique, a key that was used answers as the first time, and
//! some days are bad.

use crate::seed::Rng;
use crate::stores::{Message, SESSION, Snapshot, User};
use chassis::error::CallFailure;
use chassis::flow::calls::Nature;
use chassis_abi::Code;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The stores, and what goes wrong with them. Hosts come and go; this stays.
pub struct World {
    state: Mutex<State>,
    begun: Instant,
    weather: Weather,
}

/// How bad the days are.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Of a hundred calls forward, so many meet a fault.
    pub forward: u64,
    /// The same of undo.
    pub undo: u64,
    /// A store that answers nobody for a while.
    pub outage: Option<(&'static str, Duration, Duration)>,
    /// From then on all is well.
    pub clears: Duration,
    /// What each store makes of a key.
    pub keyed: [Keyed; 5],
}

/// What a store makes of a call that comes a second time with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyed {
    /// It knows no keys: what must not happen twice may not be sent twice.
    Not,
    /// It answers as the first time.
    Remembers,
    /// What it makes is unique: nothing happens twice, and it says that it is there already.
    Unique,
}

/// The roles, in the order of `keyed`.
pub const ROLES: [&str; 5] = ["users", "preferences", "sessions", "search", "messages"];

struct State {
    rng: Rng,
    last_id: i64,
    users: BTreeMap<i64, User>,
    preferences: BTreeMap<i64, String>,
    sessions: BTreeMap<i64, ()>,
    entries: BTreeMap<i64, ()>,
    messages: Vec<Message>,
    unique_messages: bool,
    /// What was answered to a key.
    keys: BTreeMap<String, Value>,
    /// All that happened, as one number.
    trace: DefaultHasher,
    undo_failed: u64,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Hash)]
enum Luck {
    Good,
    /// An error, and nothing was done.
    Refused,
    /// No answer; nothing was done.
    LostBefore,
    /// No answer; it was done.
    LostAfter,
    /// The plugin panicked, before or after.
    Panicked {
        done: bool,
    },
}

impl World {
    /// Empty stores in this weather.
    pub fn new(seed: u64, weather: Weather) -> Self {
        let state = State {
            rng: Rng::new(seed),
            last_id: 0,
            users: BTreeMap::new(),
            preferences: BTreeMap::new(),
            sessions: BTreeMap::new(),
            entries: BTreeMap::new(),
            messages: Vec::new(),
            unique_messages: weather.keyed[4] == Keyed::Unique,
            keys: BTreeMap::new(),
            trace: DefaultHasher::new(),
            undo_failed: 0,
        };
        Self { state: Mutex::new(state), begun: Instant::now(), weather }
    }

    /// One call, with its time and its luck. Dropped before it answers, it was either done or not; nobody knows.
    pub async fn call(
        &self,
        role: &str,
        operation: &str,
        input: Value,
        key: Option<Arc<str>>,
    ) -> Result<Value, CallFailure> {
        let undo = matches!(operation, "delete" | "retract");
        let (luck, there, back) = self.draw(role, undo);
        sleep(there).await;
        let done = matches!(luck, Luck::Good | Luck::LostAfter | Luck::Panicked { done: true });
        let answer = if done { self.apply(role, operation, &input, key.as_deref()) } else { Ok(Value::Null) };
        sleep(back).await;
        let answer = match luck {
            Luck::Good => answer,
            Luck::Refused => Err(CallFailure::new(Code::Unavailable, format!("{role} refuses"))),
            Luck::LostBefore | Luck::LostAfter => Err(unsure(Code::DeadlineExceeded, role)),
            Luck::Panicked { .. } => Err(unsure(Code::Internal, role)),
        };
        let now = self.now();
        let mut state = self.state();
        (now.as_millis(), role, operation, luck, answer.is_ok()).hash(&mut state.trace);
        state.undo_failed += u64::from(undo && answer.is_err());
        answer
    }

    /// Whether an operation may be sent again with the same key.
    pub fn nature(&self, role: &str, operation: &str) -> Nature {
        let keyed = self.keyed(role) != Keyed::Not;
        // Deleting and setting come to the same however often it is done.
        let idempotent = matches!(operation, "delete" | "retract" | "set");
        Nature { reads: false, repeatable: keyed || idempotent }
    }

    /// Everything that is there.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot {
            users: state.users.values().cloned().collect(),
            preferences: state.preferences.iter().map(|(id, run)| (*id, run.clone())).collect(),
            sessions: state.sessions.keys().copied().collect(),
            entries: state.entries.keys().copied().collect(),
            messages: state.messages.clone(),
        }
    }

    /// All that happened, as one number: the same seed must give the same.
    pub fn trace(&self) -> u64 {
        self.state().trace.finish()
    }

    /// How many undo calls failed: without ten of them no run may be stuck.
    pub fn undo_failed(&self) -> u64 {
        self.state().undo_failed
    }

    fn draw(&self, role: &str, undo: bool) -> (Luck, Duration, Duration) {
        let now = self.now();
        let mut state = self.state();
        let rng = &mut state.rng;
        let (there, back) = (rng.between(1, 20), rng.between(1, 20));
        let span = Duration::from_millis;
        let Weather { forward, undo: back_ward, outage, clears, .. } = &self.weather;
        if let Some((dead, from, to)) = outage
            && *dead == role
            && (*from..*to).contains(&now)
        {
            let luck = if rng.percent(50) { Luck::Refused } else { Luck::LostBefore };
            return (luck, span(there), span(if luck == Luck::Refused { back } else { 2_000 }));
        }
        let share = if undo { *back_ward } else { *forward };
        if now >= *clears || !rng.percent(share) {
            // Slow is not broken: now and then a call takes long and comes well out.
            let slow = if now < *clears && rng.percent(5) { 1_500 } else { 0 };
            return (Luck::Good, span(there + slow), span(back));
        }
        match rng.between(0, 4) {
            0 => (Luck::Refused, span(there), span(back)),
            1 => (Luck::LostBefore, span(there), span(2_000)),
            2 => (Luck::LostAfter, span(there), span(2_000)),
            3 => (Luck::Panicked { done: false }, span(there), span(back)),
            _ => (Luck::Panicked { done: true }, span(there), span(back)),
        }
    }

    fn apply(
        &self,
        role: &str,
        operation: &str,
        input: &Value,
        key: Option<&str>,
    ) -> Result<Value, CallFailure> {
        let key = key.filter(|_| self.keyed(role) == Keyed::Remembers);
        let mut state = self.state();
        if let Some(first) = key.and_then(|key| state.keys.get(key)) {
            return Ok(first.clone());
        }
        let answer = state.effect(role, operation, input)?;
        // What was taken back may be made again, and the other way round: only making is remembered.
        if let Some(key) = key.filter(|_| !matches!(operation, "delete" | "retract")) {
            state.keys.insert(key.to_owned(), answer.clone());
        }
        Ok(answer)
    }

    fn keyed(&self, role: &str) -> Keyed {
        let at = ROLES.iter().position(|known| *known == role);
        at.map_or(Keyed::Not, |at| self.weather.keyed[at])
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn effect(&mut self, role: &str, operation: &str, input: &Value) -> Result<Value, CallFailure> {
        match (role, operation) {
            ("users", "insert") => {
                let (email, run_id) = (text(&input["values"]["email"]), text(&input["values"]["run_id"]));
                if self.users.values().any(|user| user.email == email || user.run_id == run_id) {
                    return Err(taken("the e-mail"));
                }
                self.last_id += 1;
                let id = self.last_id;
                self.users.insert(id, User { id, run_id, email });
                let mut row = input["values"].clone();
                row["id"] = json!(id);
                Ok(json!({ "row": row }))
            }
            ("users", "delete") => {
                let run_id = text(&input["key"]["run_id"]);
                self.users.retain(|_, user| user.run_id != run_id);
                Ok(json!({}))
            }
            ("preferences", "insert") => {
                let document = &input["document"];
                let id = number(&document["_id"]);
                if self.preferences.contains_key(&id) {
                    return Err(taken("the document"));
                }
                self.preferences.insert(id, text(&document["run_id"]));
                Ok(json!({ "id": id }))
            }
            ("preferences", "delete") => {
                let (id, run) = (number(&input["filter"]["_id"]), text(&input["filter"]["run_id"]));
                if self.preferences.get(&id).is_some_and(|owner| *owner == run) {
                    self.preferences.remove(&id);
                }
                Ok(json!({}))
            }
            ("sessions", "set") => {
                self.sessions.insert(session(&input["key"]), ());
                Ok(json!({ "stored": true }))
            }
            ("sessions", "delete") => {
                self.sessions.remove(&session(&input["key"]));
                Ok(json!({}))
            }
            ("search", "index") => {
                let id = text(&input["id"]).parse().unwrap_or_default();
                if self.entries.insert(id, ()).is_some() {
                    return Err(taken("the entry"));
                }
                Ok(json!({ "id": input["id"], "created": true }))
            }
            ("search", "delete") => {
                self.entries.remove(&text(&input["id"]).parse().unwrap_or_default());
                Ok(json!({}))
            }
            ("messages", "publish") => {
                let message_id = text(&input["message_id"]);
                if self.unique_messages
                    && self.messages.iter().any(|message| message.message_id == message_id)
                {
                    return Err(taken("the message"));
                }
                let user_id = number(&input["body"]["user_id"]);
                self.messages.push(Message { message_id, user_id });
                Ok(json!({ "message_id": input["message_id"] }))
            }
            ("messages", "retract") => {
                let message_id = text(&input["message_id"]);
                self.messages.retain(|message| message.message_id != message_id);
                Ok(json!({}))
            }
            _ => Err(CallFailure::new(Code::Unimplemented, format!("{role} has no {operation}"))),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn session(key: &Value) -> i64 {
    text(key).trim_start_matches(SESSION).parse().unwrap_or_default()
}

fn taken(what: &str) -> CallFailure {
    CallFailure::new(Code::AlreadyExists, format!("{what} is there already"))
}

fn unsure(code: Code, role: &str) -> CallFailure {
    let mut failure = CallFailure::new(code, format!("{role} gave no answer"));
    failure.error.maybe_applied = true;
    failure
}
