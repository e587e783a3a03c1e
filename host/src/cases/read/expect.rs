//! Reads `[case.expect]`.

use super::{Visible, code, condition, worded};
use crate::cases::model::{Blame, Ending, Expect};
use crate::flow::document::{Fields, Node, Problem, Problems, unknown};
use crate::flow::template::Template;
use crate::flow::{Flow, StepState};

const WORDS: &[&str] = &["state", "output", "exact_output", "that", "error", "steps"];
const OF_ERROR: &[&str] = &["code", "step", "message", "field"];
/// A run that could not make its answer names this as the step that failed.
const ANSWER: &str = "output";
/// How a step may stand when its run has ended.
const STANDS: [StepState; 7] = [
    StepState::NotRun,
    StepState::Skipped,
    StepState::Completed,
    StepState::Failed,
    StepState::MaybeApplied,
    StepState::Undone,
    StepState::UndoFailed,
];

/// Reads what is expected of a run.
pub fn read(node: &Node<'_>, flow: &Flow, visible: &Visible<'_>, problems: &mut Problems) -> Option<Expect> {
    let fields = problems.keep(node.fields())?;
    fields.only(WORDS, problems);
    let state = problems.keep(fields.require("state"));
    let state = state.and_then(|node| problems.keep(ending(&node)));
    let template = |name: &str, problems: &mut Problems| {
        fields.get(name).map(|node| Template::compile(&node, visible.after, problems))
    };
    let (output, exact_output) = (template("output", problems), template("exact_output", problems));
    let expect = Expect {
        output,
        exact_output,
        that: fields.read("that", problems, |node| condition(node, visible.after)),
        error: fields.get("error").and_then(|node| blame(&node, flow, problems)),
        steps: fields.get("steps").map(|node| steps(&node, flow, problems)).unwrap_or_default(),
        state: state?,
    };
    let never: (&[&str], &str) = match expect.state {
        Ending::Completed => (&["error"], "a completed run has no error"),
        Ending::Refused => (&["output", "exact_output", "steps"], "a run that is refused never began"),
        Ending::Undone | Ending::Stuck => (&["output", "exact_output"], "only a completed run has an output"),
    };
    impossible(&fields, never, problems);
    Some(expect)
}

fn impossible(fields: &Fields<'_>, (names, message): (&[&str], &str), problems: &mut Problems) {
    for node in names.iter().filter_map(|name| fields.get(name)) {
        problems.add(node.problem(message));
    }
}

fn ending(node: &Node<'_>) -> Result<Ending, Problem> {
    let word = node.text()?;
    let found = Ending::ALL.into_iter().find(|ending| ending.as_str() == word);
    found.ok_or_else(|| node.problem(unknown("state of a run", word, &Ending::ALL.map(Ending::as_str))))
}

fn blame(node: &Node<'_>, flow: &Flow, problems: &mut Problems) -> Option<Blame> {
    let fields = problems.keep(node.fields())?;
    fields.only(OF_ERROR, problems);
    Some(Blame {
        code: fields.read("code", problems, code),
        step: fields.read("step", problems, |node| {
            let name = node.text()?;
            let known = if name == ANSWER { Ok(()) } else { known(name, flow) };
            known.map(|()| name.to_owned()).map_err(|message| node.problem(message))
        }),
        message: fields.read("message", problems, worded),
        field: fields.read("field", problems, worded),
    })
}

fn steps(node: &Node<'_>, flow: &Flow, problems: &mut Problems) -> Vec<(String, StepState)> {
    let fields = problems.keep(node.fields()).map(|fields| fields.in_order()).unwrap_or_default();
    let read = |(name, at, node): (&str, usize, Node<'_>)| {
        if let Err(message) = known(name, flow) {
            problems.add(Problem::new(node.path(), at, message));
            return None;
        }
        Some((name.to_owned(), problems.keep(stands(&node))?))
    };
    fields.into_iter().filter_map(read).collect()
}

fn known(step: &str, flow: &Flow) -> Result<(), String> {
    let names: Vec<&str> = flow.steps.iter().map(|step| step.name.as_str()).collect();
    if names.contains(&step) { Ok(()) } else { Err(unknown("step", step, &names)) }
}

fn stands(node: &Node<'_>) -> Result<StepState, Problem> {
    let word = node.text()?;
    let names = STANDS.map(StepState::as_str);
    let found = STANDS.into_iter().find(|state| state.as_str() == word);
    found.ok_or_else(|| node.problem(unknown("state of a step", word, &names)))
}
