//! Cases as they are declared.

use super::read;
use crate::faults::FaultSpec;
use crate::flow::document::FlowErrors;
use crate::flow::expression::Expression;
use crate::flow::model::{Target, Work};
use crate::flow::set::unreadable;
use crate::flow::template::Template;
use crate::flow::{Flow, StepState};
use chassis_abi::Code;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The cases of one flow.
#[derive(Debug)]
pub struct CaseFile {
    /// The file, for messages.
    pub file: String,
    /// What it says.
    pub text: Arc<str>,
    /// The flow.
    pub flow: Arc<Flow>,
    /// The flows that run before each case.
    pub setup: Vec<String>,
    /// How long the hosts of these cases give each try, where that is not what the profile says.
    pub attempt_timeout: Option<Duration>,
    /// The cases, in the order of the file.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Its place among the cases of the file, as it is written.
    pub at: usize,
    /// Its line, from 1.
    pub line: usize,
    /// What is done first, in this order; its faults are not yet in force.
    pub before: Vec<Deed>,
    /// What goes wrong while the flow runs.
    pub faults: Vec<FaultSpec>,
    /// What the flow is given.
    pub input: Template,
    /// The run's key.
    pub key: Option<Template>,
    /// How the run must end.
    pub expect: Expect,
    /// What is looked at afterwards, when no fault is in force any more.
    pub state: Vec<Look>,
    /// Where that is written: below `states` with this name, or else in the case itself.
    pub state_of: Option<String>,
}

/// Something that is done before.
#[derive(Debug)]
pub struct Deed {
    /// What.
    pub work: Work,
    /// With which input.
    pub input: Template,
    /// The run's key, of a flow.
    pub key: Option<Template>,
}

/// How a run must end. What is not said may be anything.
#[derive(Debug)]
pub struct Expect {
    /// Its state.
    pub state: Ending,
    /// What its output must have, among other things.
    pub output: Option<Template>,
    /// What its output must be.
    pub exact_output: Option<Template>,
    /// What must hold.
    pub that: Option<Expression>,
    /// Why it failed.
    pub error: Option<Blame>,
    /// How single steps must stand.
    pub steps: Vec<(String, StepState)>,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every step ended well.
    Completed,
    /// A step failed, and nothing is left.
    Undone,
    /// Something could not be taken back.
    Stuck,
    /// It never began: its input does not fit, or its key was used for another.
    Refused,
}

/// Why a run failed. What is not said may be anything.
#[derive(Debug)]
pub struct Blame {
    /// The canonical code.
    pub code: Option<Code>,
    /// The step that failed first.
    pub step: Option<String>,
    /// A part of the message.
    pub message: Option<String>,
    /// The field at fault.
    pub field: Option<String>,
}

/// A call afterwards, and what it must answer.
#[derive(Debug)]
pub struct Look {
    /// What is called.
    pub call: Target,
    /// With which input.
    pub input: Template,
    /// What the answer must have, among other things.
    pub answer: Option<Template>,
    /// What the answer must be.
    pub exact_answer: Option<Template>,
    /// What must hold of `answer`.
    pub that: Option<Expression>,
    /// The code with which it must fail.
    pub error: Option<Code>,
}

impl CaseFile {
    /// Reads cases of a flow; `file` is for messages.
    ///
    /// # Errors
    /// All that is wrong with the file as such. What it names outside itself is the business of [`super::check`].
    pub fn parse(flow: Arc<Flow>, file: &str, text: &str) -> Result<Self, FlowErrors> {
        read::file(flow, file, text).map_err(|problems| FlowErrors(problems.placed(file, text)))
    }

    /// Reads the cases of a file.
    ///
    /// # Errors
    /// As [`CaseFile::parse`], and what the system says.
    pub fn read(flow: Arc<Flow>, path: &Path) -> Result<Self, FlowErrors> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| FlowErrors(vec![unreadable(path, &error)]))?;
        Self::parse(flow, &path.display().to_string(), &text)
    }
}

impl Case {
    /// The way to a part of it, through the fields and items of its file.
    pub fn way(&self, within: &[String]) -> Vec<String> {
        let (root, rest) = match (within.split_first(), &self.state_of) {
            // What is done before every case stands beside them.
            (Some((first, _)), _) if first == "setup" => return within.to_vec(),
            (Some((first, rest)), Some(name)) if first == "state" => {
                (["states".to_owned(), name.clone()], rest)
            }
            _ => (["case".to_owned(), self.at.to_string()], within),
        };
        root.into_iter().chain(rest.iter().cloned()).collect()
    }
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Completed, Self::Undone, Self::Stuck, Self::Refused];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Undone => "undone",
            Self::Stuck => "stuck",
            Self::Refused => "refused",
        }
    }
}
