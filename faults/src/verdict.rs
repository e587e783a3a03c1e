//! What the stores hold, against what the journal says: a user is in all five stores or in none.

use crate::stores::Snapshot;
use std::collections::{BTreeMap, BTreeSet};

/// A run, as the journal has it.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub state: State,
}

/// How the journal says that a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In all five stores.
    Completed,
    /// In none.
    Undone,
    /// Undo was blocked: what is left is told, and a person is asked.
    Stuck,
    /// It has not ended.
    Open,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Runs.
    pub runs: usize,
    /// Those that completed.
    pub completed: usize,
    /// Those of which nothing is left.
    pub undone: usize,
    /// Those whose undo is blocked.
    pub stuck: usize,
    /// Users that are in some stores and not in others, or whose run says otherwise; a line each.
    pub orphans: Vec<String>,
    /// What is there twice; a line each.
    pub duplicates: Vec<String>,
    /// Runs that have not ended; a line each.
    pub open: Vec<String>,
}

/// The stores, in the order in which they are named.
const STORES: [&str; 5] = ["users", "preferences", "sessions", "search", "messages"];

/// Compares.
pub fn judge(snapshot: &Snapshot, runs: &[Run]) -> Verdict {
    let mut verdict = Verdict { runs: runs.len(), ..Verdict::default() };
    let places = places(snapshot);
    let owners: BTreeMap<i64, &str> = owners(snapshot);
    let states: BTreeMap<&str, State> = runs.iter().map(|run| (run.id.as_str(), run.state)).collect();
    let mut complete = BTreeSet::new();
    for (id, present) in &places {
        let owner = owners.get(id).copied().unwrap_or("of a run that nothing names");
        let state = states.get(owner).copied();
        // What a stuck run left is known and told; it counts as stuck.
        if state == Some(State::Stuck) {
            continue;
        }
        let missing: Vec<&str> =
            STORES.iter().zip(present).filter(|(_, there)| !**there).map(|(store, _)| *store).collect();
        match (missing.is_empty(), state) {
            (true, Some(State::Completed)) => drop(complete.insert(owner)),
            (true, state) => {
                verdict.orphans.push(format!("user {id} is complete, and its run {owner} is {state:?}"))
            }
            (false, state) => verdict
                .orphans
                .push(format!("user {id} ({owner}, {state:?}) is not in {}", missing.join(", "))),
        }
    }
    for run in runs {
        match run.state {
            State::Completed => {
                verdict.completed += 1;
                if !complete.contains(run.id.as_str()) {
                    let line = format!("run {} completed, and its user is not complete", run.id);
                    verdict.orphans.push(line);
                }
            }
            State::Undone => verdict.undone += 1,
            State::Stuck => verdict.stuck += 1,
            State::Open => verdict.open.push(format!("run {} has not ended", run.id)),
        }
    }
    twice("message", snapshot.messages.iter().map(|message| message.message_id.clone()), &mut verdict);
    twice("e-mail", snapshot.users.iter().map(|user| user.email.clone()), &mut verdict);
    twice("row of run", snapshot.users.iter().map(|user| user.run_id.clone()), &mut verdict);
    twice("entry", snapshot.entries.iter().map(i64::to_string), &mut verdict);
    verdict
}

impl Verdict {
    /// Whether nothing is wrong; `stuck` of the stuck runs were meant to be.
    pub fn clean(&self, stuck: usize) -> bool {
        self.orphans.is_empty() && self.duplicates.is_empty() && self.open.is_empty() && self.stuck == stuck
    }
}

fn places(snapshot: &Snapshot) -> BTreeMap<i64, [bool; 5]> {
    let mut places: BTreeMap<i64, [bool; 5]> = BTreeMap::new();
    let mut at = |store: usize, id: i64| places.entry(id).or_default()[store] = true;
    snapshot.users.iter().for_each(|user| at(0, user.id));
    snapshot.preferences.iter().for_each(|(id, _)| at(1, *id));
    snapshot.sessions.iter().for_each(|id| at(2, *id));
    snapshot.entries.iter().for_each(|id| at(3, *id));
    snapshot.messages.iter().for_each(|message| at(4, message.user_id));
    places
}

/// Which run made a user: the row says it, else the document, else the message.
fn owners(snapshot: &Snapshot) -> BTreeMap<i64, &str> {
    let mut owners = BTreeMap::new();
    for message in &snapshot.messages {
        owners.insert(message.user_id, message.message_id.trim_start_matches("welcome-"));
    }
    for (id, run) in &snapshot.preferences {
        owners.insert(*id, run);
    }
    for user in &snapshot.users {
        owners.insert(user.id, &user.run_id);
    }
    owners
}

fn twice(what: &str, names: impl Iterator<Item = String>, verdict: &mut Verdict) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            verdict.duplicates.push(format!("{what} {name} is there twice"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::{Message, User};

    /// One user in all five stores.
    fn whole(id: i64, run: &str) -> Snapshot {
        Snapshot {
            users: vec![User { id, run_id: run.to_owned(), email: format!("{id}@example.org") }],
            preferences: vec![(id, run.to_owned())],
            sessions: vec![id],
            entries: vec![id],
            messages: vec![Message { message_id: format!("welcome-{run}"), user_id: id }],
        }
    }

    fn run(id: &str, state: State) -> Run {
        Run { id: id.to_owned(), state }
    }

    #[test]
    fn all_five_and_none_are_right_and_everything_between_is_an_orphan() {
        let runs = [run("a", State::Completed), run("b", State::Undone)];
        let verdict = judge(&whole(1, "a"), &runs);
        assert!(verdict.clean(0), "{verdict:?}");
        assert_eq!((verdict.completed, verdict.undone), (1, 1));
        let strip: [fn(&mut Snapshot); 5] = [
            |snapshot| snapshot.users.clear(),
            |snapshot| snapshot.preferences.clear(),
            |snapshot| snapshot.sessions.clear(),
            |snapshot| snapshot.entries.clear(),
            |snapshot| snapshot.messages.clear(),
        ];
        for (at, strip) in strip.iter().enumerate() {
            let mut snapshot = whole(1, "a");
            strip(&mut snapshot);
            let verdict = judge(&snapshot, &runs);
            assert!(verdict.orphans[0].contains(STORES[at]), "{verdict:?}");
        }
    }

    #[test]
    fn a_state_that_the_stores_belie_is_an_orphan() {
        for (state, snapshot) in [
            (State::Undone, whole(1, "a")),
            (State::Completed, Snapshot::default()),
            (State::Undone, Snapshot { sessions: vec![1], ..Snapshot::default() }),
        ] {
            assert_eq!(judge(&snapshot, &[run("a", state)]).orphans.len(), 1, "{state:?}");
        }
        assert!(!judge(&whole(1, "a"), &[]).orphans.is_empty(), "no run made it");
        assert_eq!(judge(&Snapshot::default(), &[run("a", State::Open)]).open.len(), 1);
    }

    #[test]
    fn a_message_that_is_there_twice_is_a_duplicate() {
        let mut snapshot = whole(1, "a");
        snapshot.messages.push(snapshot.messages[0].clone());
        assert_eq!(judge(&snapshot, &[run("a", State::Completed)]).duplicates.len(), 1);
    }

    #[test]
    fn what_a_stuck_run_left_is_told_as_stuck() {
        let mut snapshot = whole(1, "a");
        snapshot.sessions.clear();
        let verdict = judge(&snapshot, &[run("a", State::Stuck)]);
        assert!(verdict.clean(1) && !verdict.clean(0), "{verdict:?}");
    }
}
