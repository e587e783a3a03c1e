//! How many messages wait in the queues that start runs: `chassis_queue_messages`. Asked of the broker again and again by one task,
//! beside the policies and without a span, as an instance's health is: a look is no call.

use super::{Inner, triggers};
use crate::flow::trigger::Kind;
use crate::registry::Instance;
use crate::telemetry::metrics::Metrics;
use metrics::Gauge;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinSet;

/// The operation that tells, of whoever plays the role of a broker.
const DEPTH: &str = "queue.depth";
/// How often.
const EVERY: Duration = Duration::from_secs(5);
/// A broker that takes longer is asked again next time.
const PATIENCE: Duration = Duration::from_secs(2);

/// A queue, by the instance that has it.
type Queue = (String, String);

/// The queues that were asked for, each with its gauge.
#[derive(Default)]
struct Depths(BTreeMap<Queue, Gauge>);

/// Looks until the host is gone, or its triggers end.
pub(super) async fn watch(host: Weak<Inner>) {
    let mut depths = Depths::default();
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(host) = host.upgrade() else { return };
        if host.ending.run_until_cancelled(depths.look(&host)).await.is_none() {
            return;
        }
    }
}

impl Depths {
    async fn look(&mut self, host: &Arc<Inner>) {
        let mut asked: JoinSet<(Queue, Option<u64>)> = JoinSet::new();
        for (instance, queue) in queues(host) {
            asked.spawn(async move {
                let found = depth(&instance, &queue).await;
                ((instance.name().to_owned(), queue), found)
            });
        }
        let found = asked.join_all().await;
        self.show(host.telemetry.metrics(), found);
    }

    /// What was not found is not known: an old number would be told as if it were true.
    fn show(&mut self, metrics: &Metrics, found: Vec<(Queue, Option<u64>)>) {
        let found: BTreeMap<Queue, Option<u64>> = found.into_iter().collect();
        for queue in found.keys() {
            self.0.entry(queue.clone()).or_insert_with(|| metrics.queue_messages(&queue.0, &queue.1));
        }
        for (queue, gauge) in &self.0 {
            gauge.set(found.get(queue).copied().flatten().map_or(f64::NAN, |messages| messages as f64));
        }
    }
}

/// The queues that flows wait for, each once, of brokers that can tell.
fn queues(host: &Inner) -> Vec<(Arc<Instance>, String)> {
    let flows = host.engine.flows();
    let wanted: BTreeSet<(&str, &str)> = triggers(&flows)
        .filter_map(|(flow, at)| match &flow.triggers[at].kind {
            Kind::Queue(source) => Some((source.role.as_str(), source.queue.as_str())),
            _ => None,
        })
        .collect();
    let known = |(role, queue): (&str, &str)| {
        let instance = host.registry.role(role)?;
        instance.operation(DEPTH).ok()?;
        Some((instance.clone(), queue.to_owned()))
    };
    wanted.into_iter().filter_map(known).collect()
}

async fn depth(instance: &Arc<Instance>, queue: &str) -> Option<u64> {
    let input = json!({ "queue": queue }).to_string();
    let reply = instance.operation(DEPTH).ok()?.look(input, PATIENCE).await;
    match reply {
        Ok(reply) => serde_json::from_slice::<Value>(reply.json()).ok()?["messages"].as_u64(),
        Err(error) => {
            tracing::debug!(instance = instance.name(), queue, %error, "the queue's length is not known");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_any_more_is_no_number() {
        let metrics = Metrics::new();
        let mut depths = Depths::default();
        let queue = |name: &str| ("messages".to_owned(), name.to_owned());
        depths.show(&metrics, vec![(queue("a"), Some(3)), (queue("b"), Some(0))]);
        let line = |queue: &str, value: &str| {
            metrics
                .render()
                .contains(&format!("chassis_queue_messages{{name=\"messages\",queue=\"{queue}\"}} {value}\n"))
        };
        assert!(line("a", "3") && line("b", "0"), "{}", metrics.render());
        depths.show(&metrics, vec![(queue("a"), None)]);
        assert!(line("a", "NaN") && line("b", "NaN"), "{}", metrics.render());
    }
}
