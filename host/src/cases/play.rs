//! Plays a case.

use super::compare::{among, exactly};
use super::host::{Host, Hosts};
use super::model::{Blame, Case, CaseFile, Deed, Ending, Expect, Look};
use super::report::{Notes, Played};
use super::visible;
use crate::app::StartError;
use crate::error::CallFailure;
use crate::faults::Frequency;
use crate::flow::model::{Target, Work};
use crate::flow::scope::Scope;
use crate::flow::{Calls, FlowSet, RunOutcome, RunState};
use crate::request::Context;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest that a look waits until the host's own policies let its call through: the faults before may have opened a breaker.
const PATIENCE: Duration = Duration::from_secs(60);

/// Plays a case of a file on a host of its own.
///
/// # Errors
/// What keeps the host from starting. Whatever the case itself shows is in the answer.
pub async fn play(
    hosts: &Hosts,
    flows: &FlowSet,
    file: &CaseFile,
    case: &Case,
) -> Result<Played, StartError> {
    let begun = Instant::now();
    let host = hosts.open(flows.clone(), file.attempt_timeout).await?;
    let mut play = Play { host: &host, file, case, notes: Notes::new(file, case), state: None };
    // Where one thing goes wrong what comes after it says nothing.
    let _ = play.all().await;
    let Play { notes, state, .. } = play;
    let misses = notes.into_misses();
    host.close().await;
    Ok(Played {
        name: case.name.clone(),
        line: case.line,
        passed: misses.is_empty(),
        ms: begun.elapsed(),
        state,
        misses,
    })
}

struct Play<'a> {
    host: &'a Host,
    file: &'a CaseFile,
    case: &'a Case,
    notes: Notes<'a>,
    state: Option<String>,
}

/// Something went wrong, and is noted.
struct Noted;

impl Play<'_> {
    async fn all(&mut self) -> Result<(), Noted> {
        let (file, case) = (self.file, self.case);
        for (at, name) in file.setup.iter().enumerate() {
            if !self.has(name) {
                continue;
            }
            let ran = self.host.engine.run(name, json!({}), Context::default()).await;
            let done = done(name, ran);
            self.keep(&["setup", &at.to_string()], done)?;
        }
        let mut answers = Vec::new();
        for (at, deed) in case.before.iter().enumerate() {
            let scope = visible::before(&answers);
            let way = ["before", &at.to_string()];
            answers.push(self.deed(deed, &scope, &way).await?);
        }
        let scope = visible::before(&answers);
        let input = self.keep(&["input"], case.input.render(&scope))?;
        let key = case.key.as_ref().map(|key| key.render(&scope)).transpose();
        let key = self.keep(&["idempotency_key"], key)?.map(text);
        let faults = self.host.registry.faults();
        for (at, fault) in case.faults.iter().enumerate() {
            let set = faults.set(fault.clone()).map_err(|failure| failure.to_string());
            self.keep(&["fault", &at.to_string()], set)?;
        }
        let context = Context { idempotency_key: key.map(Arc::from), ..Context::default() };
        let ran = self.host.engine.run(&file.flow.name, input.clone(), context).await;
        let known = file.flow.input.accept(&input).unwrap_or(input);
        let run = json!({ "id": ran.as_ref().map(|run| run.run_id.as_str()).unwrap_or_default() });
        let output = ran.as_ref().map(|run| run.output.clone()).unwrap_or_default();
        let scope = visible::after(scope, &known, &output, &run);
        self.hits();
        self.expected(&case.expect, &ran, &scope);
        let cleared = self.host.registry.faults().clear(None).map_err(|failure| failure.to_string());
        self.keep(&["fault"], cleared)?;
        for (at, look) in case.state.iter().enumerate() {
            // Each is looked at, whatever the others show.
            let _ = self.look(look, &scope, &["state", &at.to_string()]).await;
        }
        Ok(())
    }

    /// The flow that is run where nothing is said need not be there.
    fn has(&self, flow: &str) -> bool {
        flow != super::SETUP || self.host.engine.flows().find(flow).is_some()
    }

    async fn deed(&mut self, deed: &Deed, scope: &Scope, way: &[&str; 2]) -> Result<Value, Noted> {
        let [list, at] = *way;
        let input = self.keep(&[list, at, "input"], deed.input.render(scope))?;
        match &deed.work {
            Work::Call(target) => {
                let answer = self.call(target, &input).await.map_err(|failure| failure.to_string());
                self.keep(way, answer)
            }
            Work::Flow(name) => {
                let key = deed.key.as_ref().map(|key| key.render(scope)).transpose();
                let key = self.keep(&[list, at, "idempotency_key"], key)?.map(text);
                let context = Context { idempotency_key: key.map(Arc::from), ..Context::default() };
                let ran = self.host.engine.run(name, input, context).await;
                self.keep(way, done(name, ran))
            }
        }
    }

    /// A fault that nothing met shows nothing. Where chance decides that may be so.
    fn hits(&mut self) {
        let shown = self.host.registry.faults().list().unwrap_or_default();
        for (at, (fault, shown)) in
            self.case.faults.iter().zip(shown["faults"].as_array().into_iter().flatten()).enumerate()
        {
            if shown["hits"] == 0 && !matches!(fault.frequency(), Frequency::Probability(_)) {
                let message = match shown["calls_seen"].as_u64() {
                    Some(0) | None => "no call met it: the run made none that it is aimed at".to_owned(),
                    Some(seen) => format!("no call met it: the run made only {seen} that it is aimed at"),
                };
                self.notes.wrong(&["fault", &at.to_string()], message);
            }
        }
    }

    fn expected(&mut self, expect: &Expect, ran: &Result<RunOutcome, CallFailure>, scope: &Scope) {
        let (state, step, failure) = match ran {
            Ok(run) => {
                let error = run.error.as_ref();
                (
                    run.state.as_str(),
                    error.map(|error| error.step.as_str()),
                    error.map(|error| &error.failure),
                )
            }
            Err(failure) => (Ending::Refused.as_str(), None, Some(failure)),
        };
        self.state = Some(state.to_owned());
        let why = failure.map(|failure| match step {
            Some(step) => format!("step {step}: {failure}"),
            None => failure.to_string(),
        });
        if state != expect.state.as_str() {
            let why = why.as_deref().unwrap_or_default();
            return self.notes.differs_as(
                &["expect", "state"],
                json!(expect.state.as_str()),
                json!(state),
                why,
            );
        }
        if let (Some(blame), Some(failure)) = (&expect.error, failure) {
            self.blame(blame, step, failure);
        }
        let Ok(run) = ran else { return };
        for (name, expected) in &expect.steps {
            let stands = run.step(name).map(|step| step.state);
            if stands != Some(*expected) {
                self.notes.differs(&["expect", "steps", name], json!(expected), json!(stands));
            }
        }
        let named = [(&expect.output, "output"), (&expect.exact_output, "exact_output")];
        for (template, name) in named {
            if let Some(template) = template
                && let Ok(expected) = self.keep(&["expect", name], template.render(scope))
            {
                let compare = if name == "output" { among } else { exactly };
                self.notes.differences(&["expect", name], compare(&expected, &run.output));
            }
        }
        if let Some(that) = &expect.that
            && let Ok(false) = self.keep(&["expect", "that"], that.holds(scope))
        {
            let message = format!("`{}` does not hold; the output is {}", that.source(), run.output);
            self.notes.wrong(&["expect", "that"], message);
        }
    }

    fn blame(&mut self, blame: &Blame, step: Option<&str>, failure: &CallFailure) {
        let error = &failure.error;
        let said = [
            ("code", blame.code.map(|code| code.as_str()), Some(error.code.as_str())),
            ("step", blame.step.as_deref(), step),
            ("field", blame.field.as_deref(), error.field.as_deref()),
        ];
        for (name, expected, got) in said {
            if expected.is_some() && expected != got {
                let why = &failure.error.message;
                self.notes.differs_as(&["expect", "error", name], json!(expected), json!(got), why);
            }
        }
        if let Some(part) = blame.message.as_deref().filter(|part| !error.message.contains(*part)) {
            self.notes.differs(&["expect", "error", "message"], json!(part), json!(error.message));
        }
    }

    async fn look(&mut self, look: &Look, scope: &Scope, way: &[&str; 2]) -> Result<(), Noted> {
        let [list, at] = *way;
        let input = self.keep(&[list, at, "input"], look.input.render(scope))?;
        let answer = match (self.patiently(&look.call, &input).await, look.error) {
            (Ok(answer), None) => answer,
            (Err(failure), Some(code)) if failure.code() == code => return Ok(()),
            (Err(failure), Some(code)) => {
                let (expected, got) = (json!(code.as_str()), json!(failure.code().as_str()));
                self.notes.differs_as(&[list, at, "error"], expected, got, &failure.error.message);
                return Err(Noted);
            }
            (Ok(answer), Some(code)) => {
                self.notes.differs(&[list, at, "error"], json!(code.as_str()), answer);
                return Err(Noted);
            }
            (Err(failure), None) => return self.keep(&[list, at, "call"], Err(failure.to_string())),
        };
        for (template, name) in [(&look.answer, "answer"), (&look.exact_answer, "exact_answer")] {
            if let Some(template) = template {
                let expected = self.keep(&[list, at, name], template.render(scope))?;
                let compare = if name == "answer" { among } else { exactly };
                self.notes.differences(&[list, at, name], compare(&expected, &answer));
            }
        }
        if let Some(that) = &look.that {
            let scope = scope.clone().with("answer", &answer);
            if !self.keep(&[list, at, "that"], that.holds(&scope))? {
                let message = format!("`{}` does not hold; the answer is {answer}", that.source());
                self.notes.wrong(&[list, at, "that"], message);
            }
        }
        Ok(())
    }

    /// Calls until it is let through.
    async fn patiently(&self, target: &Target, input: &Value) -> Result<Value, CallFailure> {
        let begun = Instant::now();
        loop {
            match self.call(target, input).await {
                Err(failure) if failure.refused_by.is_some() && begun.elapsed() < PATIENCE => {
                    let wait = failure.error.retry_after.unwrap_or_default();
                    tokio::time::sleep(wait.clamp(Duration::from_millis(10), PATIENCE)).await;
                }
                answer => return answer,
            }
        }
    }

    async fn call(&self, target: &Target, input: &Value) -> Result<Value, CallFailure> {
        let registry = &*self.host.registry;
        Calls::call(registry, &target.role, &target.operation, input, Context::default()).await
    }

    fn keep<T>(&mut self, way: &[&str], result: Result<T, String>) -> Result<T, Noted> {
        result.map_err(|message| {
            self.notes.wrong(way, message);
            Noted
        })
    }
}

/// What a run that must complete answered.
fn done(flow: &str, ran: Result<RunOutcome, CallFailure>) -> Result<Value, String> {
    match ran {
        Ok(run) if run.state == RunState::Completed => Ok(run.output),
        Ok(run) => {
            let why = run.error.map(|error| format!(": step {}: {}", error.step, error.failure));
            Err(format!("the flow `{flow}` is {}{}", run.state.as_str(), why.unwrap_or_default()))
        }
        Err(failure) => Err(format!("the flow `{flow}` does not run: {failure}")),
    }
}

/// As the engine takes keys.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
