//! How often each message came, and started nothing.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many messages are remembered; beyond, the oldest are forgotten, and come more often than they should.
const KNOWN: usize = 10_000;

/// The header in which brokers that count say how often a message came back.
const COUNT: &str = "x-delivery-count";

/// Counts of messages that may come again. A broker's own count goes before, as it also knows of hosts that died.
#[derive(Default)]
pub struct Deliveries(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    counts: HashMap<String, u32>,
    order: VecDeque<String>,
}

impl Deliveries {
    /// A message came and started nothing: how often that has been now.
    pub fn failed(&self, message: &Value) -> u32 {
        let told = message["headers"][COUNT].as_str().and_then(|count| count.parse::<u32>().ok());
        let name = name(message);
        let mut known = self.known();
        if !known.counts.contains_key(&name) {
            known.order.push_back(name.clone());
            if known.order.len() > KNOWN
                && let Some(oldest) = known.order.pop_front()
            {
                known.counts.remove(&oldest);
            }
        }
        let count = known.counts.entry(name).or_default();
        *count = count.saturating_add(1).max(told.unwrap_or_default().saturating_add(1));
        *count
    }

    /// A message does not come again.
    pub fn forget(&self, message: &Value) {
        let mut known = self.known();
        if known.counts.is_empty() {
            return;
        }
        let name = name(message);
        if known.counts.remove(&name).is_some() {
            known.order.retain(|other| *other != name);
        }
    }

    fn known(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its id; of one that has none, what it says.
fn name(message: &Value) -> String {
    match message["message_id"].as_str() {
        Some(id) => format!("id {id}"),
        None => format!("body {:x}", Sha256::digest(message["body"].to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_by_id_by_body_and_as_the_broker_says() {
        let deliveries = Deliveries::default();
        let named = json!({ "message_id": "a", "body": 1, "headers": {} });
        assert_eq!([deliveries.failed(&named), deliveries.failed(&named)], [1, 2]);
        let nameless = json!({ "body": 1, "headers": {} });
        assert_eq!([deliveries.failed(&nameless), deliveries.failed(&nameless)], [1, 2]);
        // A host died three times over it.
        let counted = json!({ "message_id": "b", "headers": { "x-delivery-count": "3" } });
        assert_eq!([deliveries.failed(&counted), deliveries.failed(&counted)], [4, 5]);
        deliveries.forget(&named);
        assert_eq!(deliveries.failed(&named), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let deliveries = Deliveries::default();
        for id in 0..=KNOWN {
            deliveries.failed(&json!({ "message_id": id.to_string(), "headers": {} }));
        }
        assert_eq!(deliveries.known().counts.len(), KNOWN);
        assert_eq!(
            deliveries.failed(&json!({ "message_id": "0", "headers": {} })),
            1,
            "the oldest was forgotten"
        );
    }
}
