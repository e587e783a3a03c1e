//! A flow as a picture: for the terminal ([`text`](Graph::text)), as a Mermaid flowchart, and as JSON. Drawn of the file alone, so
//! that neither plugins nor a host are needed.

mod label;
mod mermaid;
mod text;

use super::model::{Flow, OnError, Step, Undo, Work};
use super::plan;
use super::trigger::Trigger;
use crate::config::units::Span;
use serde_json::{Map, Value, json};

/// The steps of a flow, by how early they may begin.
#[derive(Debug)]
pub struct Graph<'a> {
    flow: &'a Flow,
    /// The steps that may begin when as many others have ended one after another as there are waves before.
    waves: Vec<Vec<usize>>,
    /// For each step, those that it waits for and that no other of them waits for.
    after: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    /// Of a flow.
    pub fn of(flow: &'a Flow) -> Self {
        let after = (0..flow.steps.len()).map(|step| nearest(&flow.steps, step)).collect();
        Self { flow, waves: waves(&flow.steps), after }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let names = |steps: &[usize]| steps.iter().map(|at| self.name(*at)).collect::<Vec<_>>();
        let step = |(at, step): (usize, &Step)| {
            let needs: Vec<&str> = step.needs.iter().map(|at| self.name(*at)).collect();
            let mut shown = json!({ "name": step.name, "needs": needs, "after": names(&self.after[at]) });
            match &step.work {
                Work::Call(target) => shown["call"] = json!(target.to_string()),
                Work::Flow(name) => shown["flow"] = json!(name),
            }
            if let Value::Object(shown) = &mut shown {
                shown.extend(words(step));
            }
            shown
        };
        json!({
            "name": self.flow.name,
            "description": self.flow.description,
            "input": self.flow.input.json_schema(),
            "deadline": self.flow.deadline.map(|time| Span(time).to_string()),
            "triggers": self.flow.triggers.iter().map(Trigger::shown).collect::<Vec<_>>(),
            "waves": self.waves.iter().map(|wave| names(wave)).collect::<Vec<_>>(),
            "steps": self.flow.steps.iter().enumerate().map(step).collect::<Vec<_>>(),
            "output": self.flow.output.to_string(),
        })
    }

    fn name(&self, step: usize) -> &str {
        &self.flow.steps[step].name
    }

    /// The steps that no other waits for.
    fn last(&self) -> impl Iterator<Item = usize> {
        let steps = &self.flow.steps;
        (0..steps.len()).filter(|at| !steps.iter().any(|step| step.needs.contains(at)))
    }
}

/// What a step says beside its call, as it is written.
fn words(step: &Step) -> Map<String, Value> {
    let each = step.for_each.as_ref();
    let undo = match &step.undo {
        Undo::Unsaid => Value::Null,
        Undo::Nothing => json!("none"),
        Undo::Call(undo) => {
            json!({ "call": undo.call.to_string(), "when": undo.when.as_ref().map(|when| when.source()) })
        }
    };
    let on_error = match &step.on_error {
        OnError::Fail => "fail".to_owned(),
        OnError::Continue => "continue".to_owned(),
        OnError::Value(value) => value.to_string(),
    };
    let words = json!({
        "when": step.when.as_ref().map(|when| when.source()),
        "for_each": each.map(|each| json!({ "items": each.items.source(), "limit": each.limit })),
        "check": step.check.as_ref().map(|check| json!({ "that": check.that.source(), "code": check.code.as_str() })),
        "on_error": on_error,
        "policy": step.policy.as_ref().map(|policy| {
            json!({ "deadline": policy.deadline, "attempt_timeout": policy.attempt_timeout, "retries": policy.retries })
        }),
        "stale_if_error": step.stale_if_error.map(|time| Span(time).to_string()),
        "undo": undo,
    });
    if let Value::Object(words) = words { words } else { Map::new() }
}

/// The steps that a step waits for, without those that others of them wait for.
fn nearest(steps: &[Step], step: usize) -> Vec<usize> {
    let needs = &steps[step].needs;
    let implied = |need: usize| needs.iter().any(|other| plan::depends(steps, *other, need));
    needs.iter().copied().filter(|need| !implied(*need)).collect()
}

fn waves(steps: &[Step]) -> Vec<Vec<usize>> {
    let mut plan = plan::Plan::new(steps);
    let mut waves = Vec::new();
    let mut wave = plan.first();
    while !wave.is_empty() {
        let mut next: Vec<usize> = wave.iter().flat_map(|step| plan.ended(*step)).collect();
        next.sort_unstable();
        waves.push(std::mem::replace(&mut wave, next));
    }
    waves
}
