//! Reads OpenMetrics 1.0, and takes nothing that the specification does not allow. Written down from it, not from what the host writes.

use std::collections::{BTreeMap, BTreeSet};

/// A family of metrics.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub help: Option<String>,
    pub unit: Option<String>,
    pub samples: Vec<Sample>,
}

/// One line of a family.
#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    pub exemplar: Option<Exemplar>,
}

/// What stands behind a sample.
#[derive(Debug)]
pub struct Exemplar {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    pub at: f64,
}

/// Every family, by name. Panics with the line that is wrong.
pub fn parse(text: &str) -> BTreeMap<String, Family> {
    let body = text.strip_suffix("# EOF\n").expect("it ends with `# EOF`");
    assert!(body.is_empty() || body.ends_with('\n'), "each line has its end");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines() {
        let wrong = |why: &str| -> ! { panic!("{why}: {line:?}") };
        assert!(!line.is_empty(), "a blank line");
        if let Some(rest) = line.strip_prefix("# ") {
            let (word, rest) = rest.split_once(' ').unwrap_or_else(|| wrong("metadata"));
            let (name, value) = rest.split_once(' ').unwrap_or_else(|| wrong("metadata"));
            assert!(is_name(name, ":"), "the name: {line:?}");
            if name != current {
                assert!(!families.contains_key(name), "its family stood there before: {line:?}");
                name.clone_into(&mut current);
            }
            let family = families.entry(name.to_owned()).or_default();
            assert!(family.samples.is_empty(), "metadata after samples: {line:?}");
            let before = match word {
                "TYPE" => Some(std::mem::replace(&mut family.kind, value.to_owned()))
                    .filter(|kind| !kind.is_empty()),
                "HELP" => family.help.replace(unescaped(value)),
                "UNIT" => {
                    assert!(name.ends_with(&format!("_{value}")), "the name has not the unit: {line:?}");
                    family.unit.replace(value.to_owned())
                }
                _ => wrong("what is this"),
            };
            assert!(before.is_none(), "told twice: {line:?}");
            continue;
        }
        assert!(!line.starts_with('#'), "a comment: {line:?}");
        let sample = sample(line);
        let family = families.get_mut(&current).unwrap_or_else(|| wrong("a sample without a family"));
        let allowed: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "gauge" | "unknown" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("the type {other}: {line:?}"),
        };
        let end = sample.name.strip_prefix(&current).unwrap_or_else(|| wrong("of another family"));
        assert!(allowed.contains(&end), "not of this type: {line:?}");
        assert!(
            sample.exemplar.is_none() || ["_total", "_bucket"].contains(&end),
            "an exemplar here: {line:?}"
        );
        assert!(end.is_empty() || sample.value >= 0.0, "negative: {line:?}");
        family.samples.push(sample);
    }
    for (name, family) in &families {
        assert!(!family.samples.is_empty(), "{name} has no samples");
        let series: BTreeSet<_> =
            family.samples.iter().map(|sample| (&sample.name, &sample.labels)).collect();
        assert_eq!(series.len(), family.samples.len(), "{name} has a series twice");
        if family.kind == "histogram" {
            histogram(name, family);
        }
    }
    families
}

/// The buckets of each series rise, the last one has all, and each example is of its own bucket.
fn histogram(name: &str, family: &Family) {
    let mut of: BTreeMap<BTreeMap<String, String>, Vec<&Sample>> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        of.entry(labels).or_default().push(sample);
    }
    for (labels, samples) in of {
        let (mut below, mut count) = (f64::NEG_INFINITY, 0.0);
        let one = |end: &str| {
            let found: Vec<_> =
                samples.iter().filter(|sample| sample.name == format!("{name}{end}")).collect();
            assert_eq!(found.len(), 1, "{name}{end} {labels:?}");
            found[0].value
        };
        for sample in samples.iter().filter(|sample| sample.name.ends_with("_bucket")) {
            let text = &sample.labels["le"];
            assert!(text == "+Inf" || text.contains('.'), "{name}: {text} is not canonical");
            let end: f64 = text.parse().unwrap();
            assert!(end > below && sample.value >= count, "{name} {labels:?}: {text}");
            if let Some(exemplar) = &sample.exemplar {
                assert!(exemplar.value > below && exemplar.value <= end, "{name}: {exemplar:?} in {text}");
            }
            (below, count) = (end, sample.value);
        }
        assert_eq!(below, f64::INFINITY, "{name} {labels:?}");
        assert_eq!(one("_count"), count, "{name} {labels:?}");
        one("_sum");
    }
}

fn sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(name_end);
    assert!(is_name(name, ":"), "{line:?}");
    let mut labels = BTreeMap::new();
    if rest.starts_with('{') {
        (labels, rest) = label_set(rest);
    }
    let rest = rest.strip_prefix(' ').expect(line);
    let (value, exemplar) = match rest.split_once(" # ") {
        None => (rest, None),
        Some((value, exemplar)) => {
            let (labels, rest) = label_set(exemplar);
            let length: usize =
                labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
            assert!(length <= 128, "an exemplar of {length} characters: {line:?}");
            let (example, at) = rest.strip_prefix(' ').and_then(|rest| rest.split_once(' ')).expect(line);
            (value, Some(Exemplar { labels, value: example.parse().unwrap(), at: at.parse().unwrap() }))
        }
    };
    Sample { name: name.to_owned(), labels, value: value.parse().expect(line), exemplar }
}

/// Labels in braces, and what follows them.
fn label_set(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut rest = text.strip_prefix('{').expect(text);
    let mut labels = BTreeMap::new();
    while !rest.starts_with('}') {
        let (name, value) = rest.split_once("=\"").expect(text);
        assert!(is_name(name, ""), "{text:?}");
        let mut escape = false;
        let end = value
            .find(|c| match (escape, c) {
                (false, '"') => true,
                (false, '\\') => {
                    escape = true;
                    false
                }
                _ => {
                    escape = false;
                    false
                }
            })
            .expect(text);
        assert!(labels.insert(name.to_owned(), unescaped(&value[..end])).is_none(), "twice: {text:?}");
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => {
                assert!(!more.starts_with('}'), "a comma too many: {text:?}");
                rest = more;
            }
            None => assert!(rest.starts_with('}'), "{text:?}"),
        }
    }
    (labels, &rest[1..])
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some(c @ ('"' | '\\')) => c,
                other => panic!("escaped {other:?} in {text:?}"),
            },
            '"' => panic!("a quotation mark in {text:?}"),
            c => c,
        });
    }
    plain
}

fn is_name(name: &str, also: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || also.contains(c);
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}
