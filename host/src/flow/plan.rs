//! Which steps can run, given those that have ended.

use super::model::Step;

/// The steps of a flow, and how far they are.
#[derive(Debug)]
pub struct Plan {
    /// For each step, how many of those that it needs have not ended.
    missing: Vec<usize>,
    /// For each step, those that need it.
    followers: Vec<Vec<usize>>,
}

impl Plan {
    /// A plan of which nothing has run.
    pub fn new(steps: &[Step]) -> Self {
        let mut followers = vec![Vec::new(); steps.len()];
        for (at, step) in steps.iter().enumerate() {
            step.needs.iter().for_each(|need| followers[*need].push(at));
        }
        Self { missing: steps.iter().map(|step| step.needs.len()).collect(), followers }
    }

    /// A plan of which some steps have ended, and those that can run now.
    pub fn going_on(steps: &[Step], ended: &[usize]) -> (Self, Vec<usize>) {
        let mut plan = Self::new(steps);
        let mut ready = plan.first();
        ended.iter().for_each(|step| ready.extend(plan.ended(*step)));
        ready.retain(|step| !ended.contains(step));
        (plan, ready)
    }

    /// The steps that need nothing.
    pub fn first(&self) -> Vec<usize> {
        (0..self.missing.len()).filter(|at| self.missing[*at] == 0).collect()
    }

    /// Takes note that a step has ended well (or was skipped); answers the steps that can run now.
    pub fn ended(&mut self, step: usize) -> Vec<usize> {
        let mut ready = Vec::new();
        for follower in &self.followers[step] {
            self.missing[*follower] -= 1;
            if self.missing[*follower] == 0 {
                ready.push(*follower);
            }
        }
        ready
    }
}

/// Steps that wait for each other: the first one again at the end.
pub fn circle(steps: &[Step]) -> Option<Vec<usize>> {
    let mut done = vec![false; steps.len()];
    (0..steps.len()).find_map(|start| visit(start, steps, &mut done, &mut Vec::new()))
}

/// Whether `step` comes after `other`, by however many steps between.
pub fn depends(steps: &[Step], step: usize, other: usize) -> bool {
    steps[step].needs.iter().any(|need| *need == other || depends(steps, *need, other))
}

fn visit(at: usize, steps: &[Step], done: &mut [bool], path: &mut Vec<usize>) -> Option<Vec<usize>> {
    if let Some(from) = path.iter().position(|step| *step == at) {
        let mut circle = path[from..].to_vec();
        circle.push(at);
        return Some(circle);
    }
    if done[at] {
        return None;
    }
    path.push(at);
    let found = steps[at].needs.iter().find_map(|need| visit(*need, steps, done, path));
    path.pop();
    done[at] = true;
    found
}
