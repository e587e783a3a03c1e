//! What a run sends and takes back: a step, or one item of a step that is done for each of a list.

use crate::flow::model::Flow;
use crate::journal::Unit;

/// A step, or one item of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// The step's place in the flow.
    pub step: usize,
    /// The item's place in the list.
    pub item: Option<usize>,
}

impl Job {
    /// A whole step.
    pub fn step(step: usize) -> Self {
        Self { step, item: None }
    }

    /// One item of a step.
    pub fn item(step: usize, item: usize) -> Self {
        Self { step, item: Some(item) }
    }

    /// As the journal names it: `entry`, `entry[3]`.
    pub fn unit(self, flow: &Flow) -> Unit {
        let step = &flow.steps[self.step].name;
        match self.item {
            None => Unit::from(step.as_str()),
            Some(item) => Unit::from(format!("{step}[{item}]")),
        }
    }

    /// The idempotency key of its call, which is the same whenever and by whomever it is made: `RUN/entry`, `RUN/entry/3`. The parts
    /// of a sub-flow are found by it.
    pub fn key(self, run: &str, flow: &Flow) -> String {
        let step = &flow.steps[self.step].name;
        match self.item {
            None => format!("{run}/{step}"),
            Some(item) => format!("{run}/{step}/{item}"),
        }
    }

    /// What the journal names so.
    pub fn find(flow: &Flow, unit: &str) -> Option<Self> {
        let place = |name: &str| flow.steps.iter().position(|step| step.name == name);
        match unit.strip_suffix(']').and_then(|unit| unit.rsplit_once('[')) {
            None => place(unit).map(Self::step),
            Some((step, item)) => Some(Self::item(place(step)?, item.parse().ok()?)),
        }
    }

    /// Whether it stands for the items of a list, and sends nothing itself.
    pub fn is_list(self, flow: &Flow) -> bool {
        self.item.is_none() && flow.steps[self.step].for_each.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_journal_read_back() {
        let text = "[steps.a]\ncall = \"r.o\"\n[steps.b]\ncall = \"r.o\"\nfor_each = \"[1]\"\n";
        let flow = Flow::parse("f", "f.toml", text).unwrap();
        for (job, unit, key) in [
            (Job::step(0), "a", "r/a"),
            (Job::step(1), "b", "r/b"),
            (Job::item(1, 0), "b[0]", "r/b/0"),
            (Job::item(1, 12), "b[12]", "r/b/12"),
        ] {
            assert_eq!((&*job.unit(&flow), job.key("r", &flow).as_str()), (unit, key));
            assert_eq!(Job::find(&flow, unit), Some(job));
            assert_eq!(job.is_list(&flow), unit == "b");
        }
        for unknown in ["c", "c[0]", "b[]", "b[x]", "b[0", ""] {
            assert_eq!(Job::find(&flow, unknown), None, "{unknown}");
        }
    }
}
