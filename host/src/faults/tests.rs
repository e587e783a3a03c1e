//! Which calls meet a fault, and what is refused.

use super::*;
use crate::config::units::Span;

fn operation(name: &str) -> Operation {
    let document = json!({
        "name": name, "contract": "cache", "summary": "does", "effect": "write", "input": {}, "output": {},
        "telemetry": {"kind": "internal", "operation": "op"},
    });
    serde_json::from_value(document).unwrap()
}

fn faults(enabled: bool, seed: u64) -> Faults {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let targets = Targets {
        instances: BTreeMap::from([
            ("redis".to_owned(), names(&["get", "set"])),
            ("postgres".to_owned(), names(&["insert", "delete"])),
        ]),
        roles: BTreeMap::from([("sessions".to_owned(), "redis".to_owned())]),
    };
    Faults::new(FaultInjection { enabled, seed }, targets, None)
}

fn named(name: &str) -> FaultSpec {
    FaultSpec { name: Some(name.to_owned()), ..FaultSpec::default() }
}

/// Which of so many calls meet a fault, by number.
fn hits(faults: &Faults, calls: u64) -> Vec<u64> {
    let set = operation("set");
    (1..=calls).filter(|_| faults.due("redis", &set).is_some()).collect()
}

#[test]
fn counts_say_which_calls_are_hit_and_what_is_left() {
    for (spec, expected, left) in [
        (FaultSpec { first: Some(2), ..named("f") }, vec![1, 2], json!(0)),
        (FaultSpec { every: Some(3), ..named("f") }, vec![3, 6], json!(null)),
        (FaultSpec { nth: Some(5), ..named("f") }, vec![5], json!(0)),
        (FaultSpec { nth: Some(9), ..named("f") }, vec![], json!(1)),
        (named("f"), vec![1, 2, 3, 4, 5, 6], json!(null)),
        (FaultSpec { probability: Some(0.0), ..named("f") }, vec![], json!(null)),
    ] {
        let faults = faults(true, 1);
        faults.set(spec.clone()).unwrap();
        assert_eq!(hits(&faults, 6), expected, "{spec:?}");
        let shown = &faults.list().unwrap()["faults"][0];
        assert_eq!((&shown["hits_left"], &shown["calls_seen"]), (&left, &json!(6)), "{spec:?}");
        assert_eq!(shown["hits"], expected.len(), "{spec:?}");
    }
}

#[test]
fn chance_is_the_seeds_and_near_what_was_asked() {
    let run = |seed: u64, name: &str| {
        let faults = faults(true, seed);
        faults.set(FaultSpec { probability: Some(0.2), ..named(name) }).unwrap();
        hits(&faults, 10_000)
    };
    assert_eq!(run(7, "a"), run(7, "a"));
    assert_ne!(run(7, "a"), run(8, "a"));
    assert_ne!(run(7, "a"), run(7, "b"), "two faults of one seed hit the same calls");
    assert!((1_800..2_200).contains(&run(7, "a").len()), "{}", run(7, "a").len());
}

#[test]
fn only_the_calls_that_are_meant_are_counted() {
    let faults = faults(true, 1);
    faults
        .set(FaultSpec {
            instance: Some("sessions".into()),
            operation: Some("cache.set".into()),
            ..named("f")
        })
        .unwrap();
    assert!(faults.due("postgres", &operation("set")).is_none());
    assert!(faults.due("redis", &operation("get")).is_none());
    assert!(faults.due("redis", &operation("set")).is_some(), "the role's player");
    assert_eq!(faults.list().unwrap()["faults"][0]["calls_seen"], 1);
    assert_eq!(faults.clear(Some("f")).unwrap(), 1);
    assert!(faults.due("redis", &operation("set")).is_none());
}

#[test]
fn slowness_goes_along_with_another_fault() {
    let faults = faults(true, 1);
    let latency = Some(Span::millis(20));
    faults.set(FaultSpec { kind: Kind::Latency, latency, ..named("slow") }).unwrap();
    faults.set(FaultSpec { latency, ..named("broken") }).unwrap();
    faults.set(named("never")).unwrap();
    let shown = format!("{:?}", faults.due("redis", &operation("set")).unwrap());
    assert!(shown.contains("broken") && shown.contains("40ms"), "{shown}");
    assert_eq!(faults.list().unwrap()["faults"][2]["calls_seen"], 0);
}

#[test]
fn a_host_that_does_not_allow_them_refuses_and_says_what_would() {
    let faults = faults(false, 1);
    for refused in [faults.set(named("f")).err(), faults.list().err(), faults.clear(None).err()] {
        let failure = refused.unwrap();
        assert_eq!(failure.code(), Code::PermissionDenied);
        assert!(failure.error.message.contains("[fault_injection] enabled = true"), "{failure}");
    }
    assert!(faults.due("redis", &operation("set")).is_none());
}

#[test]
fn what_makes_no_sense_is_told_with_its_field_and_what_is_near() {
    let faults = faults(true, 1);
    let refused = |spec: FaultSpec| faults.set(spec).unwrap_err();
    for (spec, field) in [
        (FaultSpec { first: Some(1), every: Some(2), ..named("f") }, "probability"),
        (FaultSpec { probability: Some(1.5), ..named("f") }, "probability"),
        (FaultSpec { nth: Some(0), ..named("f") }, "nth"),
        (FaultSpec { kind: Kind::Latency, ..named("f") }, "latency"),
        (FaultSpec { kind: Kind::Panic, retryable: true, ..named("f") }, "kind"),
        (FaultSpec { kind: Kind::Crash, instance: Some("redis".into()), ..named("f") }, "kind"),
        (FaultSpec { at: Some("after_commit".into()), ..named("f") }, "at"),
    ] {
        let failure = refused(spec.clone());
        assert_eq!(failure.error.field.as_deref(), Some(field), "{spec:?}: {failure}");
    }
    let failure = refused(FaultSpec { instance: Some("postgre".into()), ..named("f") });
    assert!(failure.code() == Code::NotFound && failure.error.message.contains("postgres"), "{failure}");
    let failure =
        refused(FaultSpec { instance: Some("redis".into()), operation: Some("sett".into()), ..named("f") });
    assert!(failure.error.message.contains("did you mean `set`?"), "{failure}");
    assert_eq!(faults.clear(Some("f")).unwrap_err().code(), Code::NotFound);
}

#[test]
fn the_fields_of_a_fault_are_those_that_it_is_read_from() {
    let told = serde_json::from_value::<FaultSpec>(json!({ "nonsense": 1 })).unwrap_err().to_string();
    let known: Vec<&str> = told.split('`').skip(3).step_by(2).collect();
    assert_eq!(known, FaultSpec::FIELDS, "{told}");
}
