//! What the expressions of a run see of its steps. It is made of the history alone, so that a host which takes a run over sees the
//! same.

use super::forward::broken;
use super::job::Job;
use super::progress::Progress;
use crate::error::CallFailure;
use crate::flow::plan::Plan;
use crate::flow::run::StepOutcome;
use crate::flow::scope::Scope;
use crate::flow::state::StepState;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

impl Progress {
    /// What the expressions of a step see; `item` and `index` too, where it is one of a list.
    pub(super) fn seen(&self, job: Job) -> Cow<'_, Scope> {
        match job.item {
            None => Cow::Borrowed(&self.scope),
            Some(index) => {
                let item = self.history.steps[job.step].input.get(index).unwrap_or(&Value::Null);
                Cow::Owned(self.scope.of_item(item, index))
            }
        }
    }

    /// How a step or an item stands.
    pub(super) fn outcome_of(&self, job: Job) -> Option<&StepOutcome> {
        match job.item {
            None => self.history.steps.get(job.step),
            Some(_) => self.history.find(&job.unit(&self.flow)).map(|place| &self.history.steps[place]),
        }
    }

    /// What others see as the output of a step or an item that answered this.
    pub(super) fn shown<'a>(
        &self,
        job: Job,
        input: &Arc<Value>,
        output: &'a Value,
    ) -> Result<Cow<'a, Value>, CallFailure> {
        let Some(template) = &self.flow.steps[job.step].output else { return Ok(Cow::Borrowed(output)) };
        let scope = self.seen(job).of_step(input.clone(), output);
        template.render(&scope).map(Cow::Owned).map_err(|reason| broken("output", reason))
    }

    /// Makes known to the expressions how a step ended.
    pub(super) fn tell(&mut self, step: usize) -> Result<(), CallFailure> {
        let flow = self.flow.clone();
        let name = &flow.steps[step].name;
        let outcome = &self.history.steps[step];
        match outcome.state {
            StepState::NotRun => {}
            StepState::Skipped => self.scope.step_ended(name, None),
            _ => {
                let input = outcome.input.clone();
                let (output, excused) = self.result(Job::step(step))?;
                match excused {
                    None => self.scope.step_ended(name, Some((input, output))),
                    Some(failure) => {
                        let error =
                            json!({ "code": failure.code().as_str(), "message": failure.error.message });
                        self.scope.step_excused(name, input, output, error);
                    }
                }
            }
        }
        Ok(())
    }

    /// The same for every step of a run that is taken over, each after those that it needs.
    pub(super) fn tell_all(&mut self) -> Result<(), (usize, CallFailure)> {
        let mut plan = Plan::new(&self.flow.steps);
        let mut next = VecDeque::from(plan.first());
        while let Some(step) = next.pop_front() {
            self.tell(step).map_err(|failure| (step, failure))?;
            next.extend(plan.ended(step));
        }
        Ok(())
    }

    /// What others see as the output of a step, and why it failed if the flow went on all the same.
    fn result(&self, job: Job) -> Result<(Value, Option<CallFailure>), CallFailure> {
        let Some(outcome) = self.outcome_of(job) else { return Ok((Value::Null, None)) };
        if job.is_list(&self.flow) {
            let (mut outputs, mut excused) = (Vec::new(), None);
            for index in 0..outcome.input.as_array().map_or(0, Vec::len) {
                let (output, failure) = self.result(Job::item(job.step, index))?;
                outputs.push(output);
                excused = excused.or(failure);
            }
            return Ok((Value::Array(outputs), excused));
        }
        match (&outcome.instead, &outcome.error) {
            (Some(instead), failure) => Ok((instead.clone(), failure.clone())),
            // What it answered did not pass, or never came: nobody was shown anything.
            (None, Some(_)) => Ok((outcome.output.clone(), None)),
            (None, None) if outcome.ended.is_none() => Ok((Value::Null, None)),
            (None, None) => {
                let shown = self.shown(job, &outcome.input, &outcome.output)?;
                Ok((shown.into_owned(), None))
            }
        }
    }
}
