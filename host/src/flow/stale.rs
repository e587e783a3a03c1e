//! Last good results of steps that only read, for when their backend is gone: `stale_if_error = "10m"`. In memory, and bounded.

use crate::error::CallFailure;
use chassis_abi::Code;
use chassis_abi::manifest::{Effect, Operation};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Results by flow, step, tenant and input: no tenant is shown what another asked for. The ones remembered longest ago go first when there is no more room.
#[derive(Debug)]
pub struct Stale {
    most_entries: usize,
    most_bytes: usize,
    table: Mutex<Table>,
}

/// A result that was good once.
#[derive(Clone, Debug, PartialEq)]
pub struct Recalled {
    /// What the step answered.
    pub output: Value,
    /// How long ago.
    pub age: Duration,
}

/// Which step a result is of, and on whose behalf it was had.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The flow.
    pub flow: &'a str,
    /// The step.
    pub step: &'a str,
    /// The tenant, if the run has one.
    pub tenant: Option<&'a str>,
}

#[derive(Debug, Default)]
struct Table {
    by_key: HashMap<Arc<str>, Entry>,
    /// In the order in which they were remembered.
    order: BTreeMap<u64, Arc<str>>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    output: Box<str>,
    at: Instant,
    number: u64,
}

impl Stale {
    /// With room for so many results, and so many bytes of them as JSON with what they are found by.
    pub fn new(most_entries: usize, most_bytes: usize) -> Self {
        Self { most_entries, most_bytes, table: Mutex::default() }
    }

    /// Whether results of an operation may stand for later ones: only if it changes nothing.
    pub fn fits(operation: &Operation) -> bool {
        operation.effect == Effect::Read && operation.item.is_none() && !operation.upload
    }

    /// Whether a failure is one that an old result may stand in for: the backend is gone, slow or busy.
    pub fn helps(failure: &CallFailure) -> bool {
        matches!(failure.code(), Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted)
    }

    /// Takes note of a good result.
    pub fn remember(&self, of: Origin<'_>, input: &Value, output: &Value) {
        let (key, output) = (of.key(input), output.to_string().into_boxed_str());
        let size = key.len() + output.len();
        let mut table = self.table();
        table.forget(&key);
        if size > self.most_bytes || self.most_entries == 0 {
            return;
        }
        while table.by_key.len() >= self.most_entries || table.bytes + size > self.most_bytes {
            let Some((_, oldest)) = table.order.first_key_value() else { break };
            let oldest = oldest.clone();
            table.forget(&oldest);
        }
        let number = table.next;
        table.next += 1;
        table.bytes += size;
        table.order.insert(number, key.clone());
        table.by_key.insert(key, Entry { output, at: Instant::now(), number });
    }

    /// The last good result, if one was had within `limit`. It is for a call that failed as [`Stale::helps`] says.
    pub fn recall(&self, of: Origin<'_>, input: &Value, limit: Duration) -> Option<Recalled> {
        let key = of.key(input);
        let table = self.table();
        let entry = table.by_key.get(&key)?;
        let age = entry.at.elapsed();
        // One that is too old for this step may do for its next version: it goes when room is needed.
        (age <= limit).then_some(())?;
        Some(Recalled { output: serde_json::from_str(&entry.output).ok()?, age })
    }

    /// Results and bytes that are held.
    pub fn size(&self) -> (usize, usize) {
        let table = self.table();
        (table.by_key.len(), table.bytes)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Stale {
    /// Ten thousand results, 16 MiB.
    fn default() -> Self {
        Self::new(10_000, 16 << 20)
    }
}

impl Table {
    fn forget(&mut self, key: &Arc<str>) {
        if let Some(entry) = self.by_key.remove(key) {
            self.order.remove(&entry.number);
            self.bytes -= key.len() + entry.output.len();
        }
    }
}

impl Origin<'_> {
    /// The whole input, not a hash of it: another's result would be worse than none.
    fn key(&self, input: &Value) -> Arc<str> {
        let Self { flow, step, tenant } = self;
        // As JSON, in which no name can run into the next.
        Value::from(vec![
            (*flow).into(),
            (*step).into(),
            tenant.map_or(Value::Null, Value::from),
            sorted(input),
        ])
        .to_string()
        .into()
    }
}

/// With its fields in one order, whichever way it was put together.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let fields: BTreeMap<&String, Value> =
                object.iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(fields.into_iter().map(|(name, value)| (name.clone(), value)).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use tokio::time::advance;

    const fn of<'a>(flow: &'a str, step: &'a str) -> Origin<'a> {
        Origin { flow, step, tenant: None }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_result_is_found_by_flow_step_and_input_until_it_is_too_old() {
        let stale = Stale::default();
        stale.remember(
            of("get-user", "user"),
            &json!({"id": 1, "table": "users"}),
            &json!({"row": {"name": "Ada"}}),
        );
        advance(MINUTE).await;
        let same = json!({"table": "users", "id": 1});
        let found = stale.recall(of("get-user", "user"), &same, MINUTE).unwrap();
        assert_eq!(found, Recalled { output: json!({"row": {"name": "Ada"}}), age: MINUTE });
        for (flow, step, input) in [
            ("get-users", "user", &same),
            ("get-user", "users", &same),
            ("get-user", "user", &json!({"table": "users", "id": 2})),
            ("get-user", "user", &json!({"table": "users", "id": "1"})),
        ] {
            assert_eq!(stale.recall(of(flow, step), input, MINUTE), None);
        }
        let other = Origin { tenant: Some("acme"), ..of("get-user", "user") };
        assert_eq!(stale.recall(other, &same, MINUTE), None);
        advance(Duration::from_millis(1)).await;
        assert_eq!(stale.recall(of("get-user", "user"), &same, MINUTE), None);
        stale.remember(of("get-user", "user"), &same, &json!(null));
        assert_eq!(stale.recall(of("get-user", "user"), &same, MINUTE).unwrap().output, json!(null));
        assert_eq!(stale.size().0, 1);
    }

    #[test]
    fn it_stands_in_for_a_backend_that_is_gone_and_never_for_an_answer() {
        for code in Code::ALL {
            let helps = ["unavailable", "deadline_exceeded", "resource_exhausted"].contains(&code.as_str());
            assert_eq!(Stale::helps(&CallFailure::new(*code, "")), helps, "{code}");
        }
        let operation = |effect: &str| -> Operation {
            let telemetry = json!({"kind": "internal", "operation": "x"});
            serde_json::from_value(
                json!({"name": "x", "summary": "x", "effect": effect, "input": {}, "output": {},
                                          "telemetry": telemetry}),
            )
            .unwrap()
        };
        assert!(Stale::fits(&operation("read")) && !Stale::fits(&operation("write")));
    }

    proptest! {
        #[test]
        fn it_keeps_to_its_bounds_and_drops_what_is_oldest(
            results in prop::collection::vec((0_u32..30, 0_usize..400), 1..200),
            entries in 0_usize..20,
            bytes in 0_usize..2_000,
        ) {
            let stale = Stale::new(entries, bytes);
            let recall = |n: u32| stale.recall(of("f", "s"), &json!(n), MINUTE);
            for (n, length) in &results {
                stale.remember(of("f", "s"), &json!(n), &json!("x".repeat(*length)));
                let (held, size) = stale.size();
                prop_assert!(held <= entries && size <= bytes);
                let fits = entries > 0 && of("f", "s").key(&json!(n)).len() + length + 2 <= bytes;
                prop_assert_eq!(recall(*n).is_some(), fits);
            }
            // What is held are the youngest: none is held that is older than one that fell out, its size aside.
            let (held, size) = stale.size();
            let found = (0..30).filter_map(|n| Some((n, recall(n)?))).collect::<Vec<_>>();
            prop_assert_eq!(found.len(), held);
            let counted: usize = found.iter().map(|(n, found)| of("f", "s").key(&json!(n)).len() + found.output.to_string().len()).sum();
            prop_assert_eq!(counted, size);
            for (n, found) in &found {
                let last = results.iter().rev().find(|(of, _)| of == n).unwrap().1;
                prop_assert_eq!(found.output.as_str().unwrap().len(), last);
            }
        }
    }
}
