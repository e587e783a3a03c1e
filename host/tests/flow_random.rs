//! Flows made at random, with failures and a death at random: all of a run is there or nothing, and its journal can be replayed.
#![allow(clippy::unwrap_used)]

mod death_support;
mod flow_support;

use chassis::flow::FlowSet;
use chassis::journal::{MemoryStore, Point};
use chassis_abi::Code;
use death_support::{DieAt, all, dies, goes_on, host, is_whole};
use flow_support::{Fault, Script, flows};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;

/// A step of a flow made at random.
#[derive(Clone, Debug)]
struct Made {
    /// Sent again without harm.
    repeatable: bool,
    /// Runs the flow `child` in place of a call.
    child: bool,
    /// For how many items, and how many at once.
    items: Option<(usize, usize)>,
    on_error: u8,
    /// Which of the steps before it waits for.
    after: u8,
    when: bool,
    fault: Option<Fault>,
}

fn made() -> impl Strategy<Value = Made> {
    let faults = vec![
        None,
        None,
        None,
        None,
        Some(Fault::Refused(Code::Unavailable)),
        Some(Fault::LostBefore),
        Some(Fault::LostAfter),
    ];
    let list = proptest::option::of((0..5usize, 1..4usize));
    let fault = proptest::sample::select(faults);
    let weighted = proptest::bool::weighted;
    (any::<bool>(), weighted(0.3), list, 0..4u8, any::<u8>(), weighted(0.9), fault).prop_map(
        |(repeatable, child, items, on_error, after, when, fault)| Made {
            repeatable,
            child,
            items,
            on_error,
            after,
            when,
            fault,
        },
    )
}

/// The call of a step: `p2.make`; the steps of the child are those of another letter.
fn call(letter: char, at: usize, step: &Made) -> String {
    format!("{letter}{at}.{}", if step.repeatable { "set" } else { "make" })
}

fn text(letter: char, steps: &[Made]) -> String {
    let mut text = String::new();
    for (at, step) in steps.iter().enumerate() {
        let each = step.items.map(|(count, _)| (0..count).map(|item| item.to_string()).collect::<Vec<_>>());
        let mark = if each.is_some() { "${run.id}-${index}" } else { "${run.id}" };
        writeln!(text, "[steps.s{at}]").unwrap();
        if step.child && letter == 'p' {
            writeln!(text, "flow = \"child\"").unwrap();
        } else {
            writeln!(text, "call = \"{}\"\ninput = {{ mark = \"{mark}\" }}", call(letter, at, step)).unwrap();
            writeln!(
                text,
                "undo = {{ call = \"{letter}{at}.drop\", input = {{ mark = \"${{step.input.mark}}\" }} }}"
            )
            .unwrap();
        }
        if let (Some(items), Some((_, limit))) = (each, step.items) {
            writeln!(text, "for_each = \"[{}]\"\nlimit = {limit}", items.join(", ")).unwrap();
        }
        match step.on_error {
            0 => writeln!(text, "on_error = \"continue\"").unwrap(),
            1 => writeln!(text, "on_error = {{ value = \"${{run.id}}\" }}").unwrap(),
            _ => {}
        }
        let after: Vec<String> = (0..at)
            .filter(|other| step.after >> other & 1 == 1)
            .map(|other| format!("\"s{other}\""))
            .collect();
        writeln!(text, "after = [{}]\nwhen = \"{}\"", after.join(", "), step.when).unwrap();
    }
    text
}

fn world(parent: &[Made], child: &[Made]) -> (FlowSet, Arc<Script>) {
    fn mark(input: &Value) -> String {
        input["mark"].as_str().unwrap_or_default().to_owned()
    }
    let set = flows(&[("test", &text('p', parent)), ("child", &text('c', child))]);
    let mut script = Script::default();
    for (letter, at, step) in [('p', parent), ('c', child)]
        .into_iter()
        .flat_map(|(letter, steps)| steps.iter().enumerate().map(move |(at, step)| (letter, at, step)))
    {
        let call = call(letter, at, step);
        let fault = step.fault;
        script = script.effect(&call, mark).wipe(&format!("{letter}{at}.drop"), &call, mark);
        if let Some(fault) = fault {
            script.fail(&call, fault);
        }
    }
    (set, Arc::new(script))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn whatever_the_flow_is_all_of_it_is_there_or_nothing(
        parent in proptest::collection::vec(made(), 1..6),
        child in proptest::collection::vec(made(), 1..4),
        before in any::<bool>(),
        deaths in proptest::collection::vec(1..25u64, 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (flows, script) = world(&parent, &child);
            let store = MemoryStore::new();
            let point = if before { Point::BeforeCommit } else { Point::AfterCommit };
            let first = host(&flows, &script, Arc::new(store.clone()), "first");
            let probe = DieAt::new(point, deaths.first().copied().unwrap_or(u64::MAX));
            dies(&first, json!({}), &probe).await;
            // The one after may die too, in the middle of the recovery.
            if let Some(count) = deaths.get(1) {
                let second = host(&flows, &script, Arc::new(store.clone()), "second");
                let probe = DieAt::new(point, *count);
                assert!(second.journal().observe(probe.clone()));
                tokio::select! {
                    biased;
                    () = probe.dead() => second.abandon(),
                    () = goes_on(&second) => {}
                }
                second.idle().await;
            }
            goes_on(&host(&flows, &script, Arc::new(store.clone()), "last")).await;
            is_whole(&flows, &all(&store).await, &script);
        });
    }
}
