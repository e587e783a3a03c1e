//! The short form of the proof: what needs no server and half a minute. `cargo xtask faults` is the whole of it.
//! Wants `CHASSIS_PLUGINS_DIR` with the plugin `embedded` in it.
#![allow(clippy::unwrap_used)]

use chassis_faults::report::{Report, Tally};
use chassis_faults::site::{Options, Servers};
use chassis_faults::{matrix, schedules};

const QUIET: Report = Report { quiet: true };

/// `None` where there are no plugins; the test then says so.
fn embedded(test: &str, cells: usize, options: &Options) -> Option<Tally> {
    if std::env::var_os("CHASSIS_PLUGINS_DIR").is_none() {
        println!("skipped: {test}: CHASSIS_PLUGINS_DIR is not set");
        return None;
    }
    chassis_faults::parts::provide();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let tally = runtime.block_on(matrix::run(Servers::Embedded, cells, options, &QUIET));
    Some(tally.unwrap_or_else(|error| panic!("{error:#}")))
}

#[test]
fn every_fault_at_every_step_leaves_all_or_nothing() {
    let test = "every_fault_at_every_step_leaves_all_or_nothing";
    let Some(tally) = embedded(test, matrix::CELLS, &Options::default()) else { return };
    assert!(tally.clean() && tally.cells == 50 && tally.runs == 50, "{tally:?}");
}

#[test]
fn five_hundred_random_schedules_leave_all_or_nothing() {
    let tally = schedules::run(1, 500, true, &QUIET).unwrap();
    assert!(tally.clean() && tally.cells == 500, "{tally:?}");
    assert!(
        tally.completed > 100 && tally.undone > 100 && tally.stuck > 0,
        "they do not go every way: {tally:?}"
    );
}

#[test]
fn without_undo_the_check_reports_orphans() {
    let tally = schedules::run(1, 50, false, &QUIET).unwrap();
    assert!(tally.orphans > 0, "simulated: {tally:?}");
    let options = Options { without_undo: true, ..Options::default() };
    // An error at each of the five steps: four of them leave what the others made.
    let Some(tally) = embedded("without_undo_the_check_reports_orphans", 5, &options) else { return };
    assert!(tally.orphans >= 4, "on embedded stores: {tally:?}");
}
