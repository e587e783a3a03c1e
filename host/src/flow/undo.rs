//! One run on its way back.

use super::forward::{Progress, broken};
use super::model::{Undo, UndoCall};
use super::run::UndoOutcome;
use super::state::StepEvent;
use crate::error::CallFailure;
use crate::request::Context;
use std::sync::Arc;
use tokio::time::Instant;

impl Progress {
    /// Takes back what the steps did, the last one first, one after the other: what a step built on goes after it. A failure does not
    /// stop it: whatever can go, goes. Answers whether everything went.
    pub(super) async fn undo(&mut self) -> bool {
        let flow = self.flow.clone();
        let mut complete = true;
        while let Some(at) = self.ended.pop() {
            let Undo::Call(undo) = &flow.steps[at].undo else { continue };
            match self.due(at, undo) {
                Ok(false) => {}
                Ok(true) => complete &= self.take_back(at, undo).await,
                Err(failure) => {
                    complete = false;
                    self.turn_step(at, StepEvent::Undo);
                    self.undo_ended(at, undo, 0, 0.0, Err(failure));
                }
            }
        }
        complete
    }

    fn due(&self, at: usize, undo: &UndoCall) -> Result<bool, CallFailure> {
        let Some(when) = &undo.when else { return Ok(true) };
        let step = &self.steps[at];
        let scope = self.scope.of_step(&step.input, &step.output);
        when.holds(&scope).map_err(|reason| broken("undo.when", reason))
    }

    async fn take_back(&mut self, at: usize, undo: &UndoCall) -> bool {
        self.turn_step(at, StepEvent::Undo);
        let step = &self.steps[at];
        let scope = self.scope.of_step(&step.input, &step.output);
        let started = Instant::now();
        let (attempts, result) = match undo.input.render(&scope) {
            Err(reason) => (0, Err(broken("undo.input", reason))),
            Ok(input) => {
                let name = &self.flow.steps[at].name;
                let mut span = self.spans.undo(name, self.span.context());
                // The run's deadline is left out: what was done late must be taken back all the same.
                let context = Context {
                    trace: span.context().clone(),
                    deadline: None,
                    idempotency_key: Some(Arc::from(format!("{}/{name}/undo", self.run_id))),
                    tenant: self.context.tenant.clone(),
                    overrides: None,
                };
                let result = self.calls.call(&undo.call.role, &undo.call.operation, &input, context).await;
                if let Err(failure) = &result {
                    span.failed(failure);
                }
                (1, result.map(drop))
            }
        };
        let ms = started.elapsed().as_secs_f64() * 1e3;
        self.undo_ended(at, undo, attempts, ms, result)
    }

    fn undo_ended(
        &mut self,
        at: usize,
        undo: &UndoCall,
        attempts: u32,
        ms: f64,
        result: Result<(), CallFailure>,
    ) -> bool {
        let ended_well = result.is_ok();
        self.turn_step(at, if ended_well { StepEvent::FinishUndo } else { StepEvent::FailUndo });
        let call = undo.call.to_string();
        self.steps[at].undo = Some(UndoOutcome { call, ms, attempts, error: result.err() });
        ended_well
    }
}
