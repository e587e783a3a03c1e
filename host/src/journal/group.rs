//! The batches of one transaction, as the tables they go to: both databases take them by column or by row.

use super::record::{Batch, RunRow, Turn, Verdict};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What one transaction writes.
pub struct Group<'a> {
    /// Who writes: run and fence of each batch.
    pub writers: Vec<(&'a str, i64)>,
    /// Runs that begin.
    pub runs: Vec<RunRow>,
    /// Changes of runs that began before; one a run, the last.
    pub turns: Vec<(&'a str, i64, &'a Turn)>,
    batches: &'a [Batch],
}

impl<'a> Group<'a> {
    pub fn of(batches: &'a [Batch]) -> Self {
        let mut runs: Vec<RunRow> = Vec::new();
        let mut begun: HashMap<&Arc<str>, usize> = HashMap::new();
        let mut turned: HashMap<&str, usize> = HashMap::new();
        let mut turns: Vec<(&str, i64, &Turn)> = Vec::new();
        for batch in batches {
            if let Some(new) = &batch.new {
                begun.insert(&batch.run, runs.len());
                runs.push(RunRow::clone(new));
            }
            let Some(turn) = &batch.turn else { continue };
            match begun.get(&batch.run) {
                // It is not there yet when this statement looks.
                Some(at) => runs[*at].turn(turn),
                None => match turned.get(&*batch.run) {
                    Some(at) => turns[*at] = (&batch.run, batch.fence, turn),
                    None => {
                        turned.insert(&batch.run, turns.len());
                        turns.push((&batch.run, batch.fence, turn));
                    }
                },
            }
        }
        let writers = batches.iter().map(|batch| (&*batch.run, batch.fence)).collect();
        Self { writers, runs, turns, batches }
    }

    /// Every entry, with its run and the run's fence.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, i64, &'a super::record::EntryRow)> {
        self.batches
            .iter()
            .flat_map(|batch| batch.entries.iter().map(move |entry| (&*batch.run, batch.fence, entry)))
    }

    /// What came of each batch, given the runs that its writer holds now.
    pub fn verdicts(&self, held: &HashSet<(String, i64)>) -> Vec<Verdict> {
        let begun: HashSet<&str> = self.runs.iter().map(|run| &*run.id).collect();
        let verdict = |batch: &Batch| {
            if held.contains(&(batch.run.to_string(), batch.fence)) {
                Verdict::Written
            } else if begun.contains(&*batch.run) {
                Verdict::Duplicate
            } else {
                Verdict::Lost
            }
        };
        self.batches.iter().map(verdict).collect()
    }
}
