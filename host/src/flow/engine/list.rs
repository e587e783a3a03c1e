//! Steps that are done for each item of a list: some at once, in the order of the list.

use super::forward::{broken, of};
use super::job::Job;
use super::progress::{Progress, Stop};
use super::remaining::{Ending, List, Remaining};
use super::step::Miss;
use crate::error::CallFailure;
use crate::flow::model::ForEach;
use crate::flow::state::StepState;
use crate::journal::{Event, Failed, Started, Succeeded};
use chassis_abi::Code;
use serde_json::Value;
use std::sync::Arc;

impl Progress {
    /// Takes note of the list. It stands in the journal, so that who takes the run over has the same.
    pub(super) fn open_list(
        &mut self,
        step: usize,
        items: Vec<Value>,
        way: &mut Remaining,
    ) -> Result<(), Stop> {
        let flow = self.flow.clone();
        let declared = &flow.steps[step];
        way.lists.insert(step, List::new(items.len()));
        let started = Started { call: declared.work.to_string(), input: Arc::new(Value::Array(items)) };
        self.record(Event::StepStarted(of(&declared.name, started)))?;
        self.fill(step, way)
    }

    /// The list that a step is done for.
    pub(super) fn items(&self, each: &ForEach) -> Result<Vec<Value>, CallFailure> {
        match each.items.evaluate(&self.scope).map_err(|reason| broken("for_each", reason))? {
            Value::Array(items) => Ok(items),
            other => Err(broken("for_each", format!("must give a list, and gave {other}"))),
        }
    }

    /// Begins as many items as may be under way, and ends the step with the last one.
    pub(super) fn fill(&mut self, step: usize, way: &mut Remaining) -> Result<(), Stop> {
        let flow = self.flow.clone();
        let limit = flow.steps[step].for_each.as_ref().map_or(1, |each| each.limit);
        while way.goes_on()
            && let Some(list) = way.lists.get_mut(&step)
            && list.busy < limit
            && list.next < list.length
        {
            let job = Job::item(step, list.next);
            list.next += 1;
            // It was begun by another host, or another life of this one.
            if self.outcome_of(job).is_some() {
                continue;
            }
            match self.input(job) {
                Ok(input) => {
                    list.busy += 1;
                    self.begin_job(job, input, way)?;
                }
                Err(failure) => self.failed(job, Miss::unsent(failure), way)?,
            }
        }
        if way.goes_on()
            && let Some(list) = way.lists.get(&step)
            && list.is_over()
        {
            let ms = list.begun.elapsed().as_secs_f64() * 1e3;
            way.lists.remove(&step);
            // What it gives is made of its items, which stand in the journal already.
            let ended = Succeeded { output: Value::Null, ms };
            self.record(Event::StepSucceeded(of(&flow.steps[step].name, ended)))?;
            self.told(step, way);
        }
        Ok(())
    }

    /// Takes up a list that was under way when a host died.
    pub(super) fn reopen_list(&mut self, step: usize, way: &mut Remaining) -> Result<(), Stop> {
        let length = self.history.steps[step].input.as_array().map_or(0, Vec::len);
        way.lists.insert(step, List::new(length));
        for item in 0..length {
            let job = Job::item(step, item);
            let Some(state) = self.outcome_of(job).map(|outcome| outcome.state) else { continue };
            if state == StepState::Running
                && let Some(list) = way.lists.get_mut(&step)
            {
                list.busy += 1;
            }
            self.look_back_at(job, way)?;
        }
        Ok(())
    }

    /// Ends lists that are not gone on with, as the run goes back.
    pub(super) fn close_lists(&mut self, way: &mut Remaining) -> Result<(), Stop> {
        let flow = self.flow.clone();
        for (step, list) in std::mem::take(&mut way.lists) {
            let own = |unit: &str| Job::find(&flow, unit).is_some_and(|job| job.step == step);
            let failure = match &way.ending {
                Some(Ending::Failed { unit, failure }) if own(unit) => failure.clone(),
                _ => CallFailure::new(Code::Aborted, "the run went back before every item was done"),
            };
            let failed = Failed {
                failure: (&failure).into(),
                unsure: false,
                output: Value::Null,
                ms: Some(list.begun.elapsed().as_secs_f64() * 1e3),
                instead: None,
            };
            self.record(Event::StepFailed(of(&flow.steps[step].name, failed)))?;
        }
        Ok(())
    }
}
