//! What starts runs by itself: messages, times, and the start of the host. (Requests come in by the edge.)
//!
//! Each trigger of each flow is a task. When the flows change, those of changed flows end and begin anew.

mod deliveries;
mod depth;
mod pause;
mod queue;
mod schedule;
mod settle;

use crate::flow::model::Flow;
use crate::flow::trigger::{Kind, Trigger};
use crate::flow::{Engine, FlowSet};
use crate::registry::Registry;
use crate::telemetry::Telemetry;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The triggers of a host that serves. Cheap to clone.
#[derive(Clone)]
pub struct Triggers(Arc<Inner>);

struct Inner {
    engine: Engine,
    registry: Arc<Registry>,
    telemetry: Telemetry,
    tasks: TaskTracker,
    ending: CancellationToken,
    waiting: Mutex<HashMap<Place, CancellationToken>>,
}

/// A trigger, by the flow that has it, that flow's version, and its place among the flow's triggers.
type Place = (String, Arc<str>, usize);

/// One trigger, in the hands of its task.
struct Watch {
    host: Arc<Inner>,
    flow: Arc<Flow>,
    at: usize,
    ending: CancellationToken,
}

impl Triggers {
    /// Of this host. Nothing is started before [`Triggers::follow`]; wants to be called on its runtime.
    pub fn new(engine: Engine, registry: Arc<Registry>, telemetry: Telemetry) -> Self {
        let inner = Arc::new(Inner {
            engine,
            registry,
            telemetry,
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
            waiting: Mutex::default(),
        });
        tokio::spawn(depth::watch(Arc::downgrade(&inner)));
        Self(inner)
    }

    /// Starts the flows that run when a host starts: once, and no other flow waits for them.
    pub fn start_up(&self, flows: &FlowSet) {
        for (flow, at) in triggers(flows) {
            if matches!(flow.triggers[at].kind, Kind::Start) {
                let watch = self.watch(flow, at, self.0.ending.child_token());
                self.0.tasks.spawn(watch.at_start());
            }
        }
    }

    /// From now on, what these flows wait for starts them, and what others waited for starts them no more.
    pub fn follow(&self, flows: &FlowSet) {
        if self.0.ending.is_cancelled() {
            return;
        }
        let place = |flow: &Flow, at| (flow.name.clone(), flow.version.clone(), at);
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let now: Vec<_> = triggers(flows).map(|(flow, at)| place(flow, at)).collect();
        waiting.retain(|place, ending| {
            let stays = now.contains(place);
            if !stays {
                ending.cancel();
            }
            stays
        });
        for (flow, at) in triggers(flows) {
            let kind = &flow.triggers[at].kind;
            if !matches!(kind, Kind::Queue(_) | Kind::Schedule(_)) || waiting.contains_key(&place(flow, at)) {
                continue;
            }
            let ending = self.0.ending.child_token();
            waiting.insert(place(flow, at), ending.clone());
            tracing::info!(flow = flow.name, trigger = flow.triggers[at].shown(), "waits");
            let watch = self.watch(flow, at, ending);
            match kind {
                Kind::Queue(_) => drop(self.0.tasks.spawn(watch.messages())),
                _ => drop(self.0.tasks.spawn(watch.times())),
            }
        }
    }

    /// Nothing more is started; returns when every message that was taken has started its run, or is on its way back.
    pub async fn end(&self) {
        self.0.ending.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn watch(&self, flow: &Arc<Flow>, at: usize, ending: CancellationToken) -> Watch {
        Watch { host: self.0.clone(), flow: flow.clone(), at, ending }
    }
}

impl Watch {
    fn trigger(&self) -> &Trigger {
        &self.flow.triggers[self.at]
    }

    /// What every expression of a trigger sees.
    fn roles(&self) -> Arc<Value> {
        self.host.engine.roles()
    }

    async fn at_start(self) {
        let flow = &self.flow.name;
        let input = self.trigger().make_input("", &Value::Null, &self.roles(), json!({}));
        let started = match input {
            Ok(input) => self.host.engine.start(flow, input, Default::default()).await,
            Err(failure) => Err(failure),
        };
        match started {
            Ok(started) => tracing::info!(flow, run = started.run_id(), "started with the host"),
            Err(failure) => tracing::error!(flow, %failure, "cannot be started with the host"),
        }
    }
}

fn triggers(flows: &FlowSet) -> impl Iterator<Item = (&Arc<Flow>, usize)> {
    flows.iter().flat_map(|flow| (0..flow.triggers.len()).map(move |at| (flow, at)))
}
