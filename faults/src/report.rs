//! What is said meanwhile, and the counts at the end.

use crate::verdict::Verdict;
use serde_json::{Value, json};
use std::path::Path;

/// Says what is done, on the error output, so that the last line of the other one is the counts.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Not a word of progress: a test keeps it to itself.
    pub quiet: bool,
}

/// Counts of one part, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cells, kills or schedules of the part.
    pub cells: usize,
    /// Runs of create-user that the journal knows.
    pub runs: usize,
    /// Those that ended with the user in all five stores.
    pub completed: usize,
    /// Those that ended with nothing left.
    pub undone: usize,
    /// Those whose undo was blocked.
    pub stuck: usize,
    /// Those of them that were meant to be.
    pub stuck_expected: usize,
    /// Users that are in some stores and not in others.
    pub orphans: usize,
    /// What is there twice.
    pub duplicates: usize,
    /// Runs that never ended.
    pub open: usize,
}

/// All parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Cells of the matrix.
    pub matrix: usize,
    /// Random schedules.
    pub schedules: usize,
    /// Kills at a write of the journal.
    pub journal_kills: usize,
    /// Kills at a random moment.
    pub random_kills: usize,
    /// Troubles of a network or server.
    pub network: usize,
    /// What all parts came to.
    pub sum: Tally,
}

impl Tally {
    /// What a verdict comes to.
    pub fn of(verdict: &Verdict) -> Self {
        Self {
            cells: 0,
            runs: verdict.runs,
            completed: verdict.completed,
            undone: verdict.undone,
            stuck: verdict.stuck,
            stuck_expected: 0,
            orphans: verdict.orphans.len(),
            duplicates: verdict.duplicates.len(),
            open: verdict.open.len(),
        }
    }

    /// Adds another part.
    pub fn add(&mut self, other: &Self) {
        self.cells += other.cells;
        self.runs += other.runs;
        self.completed += other.completed;
        self.undone += other.undone;
        self.stuck += other.stuck;
        self.stuck_expected += other.stuck_expected;
        self.orphans += other.orphans;
        self.duplicates += other.duplicates;
        self.open += other.open;
    }

    /// Whether nothing is wrong.
    pub fn clean(&self) -> bool {
        self.orphans + self.duplicates + self.open == 0 && self.stuck == self.stuck_expected
    }
}

impl Counts {
    /// The last line.
    pub fn line(&self) -> Value {
        json!({
            "matrix": self.matrix, "schedules": self.schedules, "journal_kills": self.journal_kills,
            "random_kills": self.random_kills, "network": self.network, "runs": self.sum.runs,
            "completed": self.sum.completed, "undone": self.sum.undone, "stuck": self.sum.stuck,
            "stuck_expected": self.sum.stuck_expected, "unfinished": self.sum.open, "orphans": self.sum.orphans,
            "duplicates": self.sum.duplicates,
        })
    }
}

impl Report {
    /// One line of progress.
    pub fn progress(&self, line: &str) {
        if !self.quiet {
            eprintln!("{line}");
        }
    }

    /// Something is wrong, and where it can be looked into.
    pub fn wrong(&self, what: &str, verdict: &Verdict, folder: Option<&Path>) {
        eprintln!("WRONG: {what}");
        let lines = [&verdict.orphans, &verdict.duplicates, &verdict.open];
        for line in lines.into_iter().flatten().take(20) {
            eprintln!("  {line}");
        }
        if verdict.stuck > 0 {
            eprintln!("  {} runs are stuck", verdict.stuck);
        }
        if let Some(folder) = folder {
            eprintln!("  configuration, logs and journal: {}", folder.display());
        }
    }
}
