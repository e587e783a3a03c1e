//! Reads Prometheus' text form.

use std::collections::BTreeMap;

/// The value of a series with at least these labels.
pub fn value_of(metrics: &str, name: &str, labels: &BTreeMap<&str, String>) -> Option<f64> {
    series(metrics, name)
        .find(|(found, of, _)| *found == name && includes(of, labels))
        .map(|(.., value)| value)
}

/// Whether the wanted labels are among those found.
pub fn includes(found: &BTreeMap<String, String>, wanted: &BTreeMap<&str, String>) -> bool {
    wanted.iter().all(|(name, value)| found.get(*name) == Some(value))
}

/// The series whose names begin so: name, labels, value. The samples' labels hold no quotes.
pub fn series<'a>(
    metrics: &'a str,
    begin: &'a str,
) -> impl Iterator<Item = (&'a str, BTreeMap<String, String>, f64)> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.filter(move |line| line.starts_with(begin)).map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels =
            labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()).map(|label| {
                let (name, value) = label.split_once("=\"").unwrap();
                (name.to_owned(), value.trim_end_matches('"').to_owned())
            });
        (name, labels.collect(), value.parse().unwrap())
    })
}
