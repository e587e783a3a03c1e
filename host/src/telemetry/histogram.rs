//! Histograms with fixed buckets, counted in place. The exporter's own keep every sample until they are read, which costs a call
//! more than all of its other metrics together.

use super::exemplar::Exemplars;
use super::openmetrics::Form;
use metrics::{HistogramFn, Key, Label};
use opentelemetry::trace::SpanContext;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One series: how many samples fell into each bucket, and their sum.
#[derive(Debug)]
pub struct Buckets {
    /// Upper ends, ascending, each with its count; what is beyond the last is in `beyond`.
    counts: Box<[(f64, AtomicU64)]>,
    beyond: AtomicU64,
    // In nanoseconds: a whole number needs no loop to be added to.
    sum: AtomicU64,
    exemplars: Exemplars,
}

/// All histograms, by name and labels.
#[derive(Debug, Default)]
pub struct Histograms(Mutex<BTreeMap<String, Family>>);

#[derive(Debug)]
struct Family {
    help: String,
    ends: Vec<f64>,
    series: BTreeMap<Vec<Label>, Arc<Buckets>>,
}

const NANOS: f64 = 1e9;

impl Histograms {
    /// Declares a histogram with the upper ends of its buckets, in seconds; a second time, only its help is changed.
    pub fn declare(&self, name: &str, ends: &[f64], help: &str) {
        let mut families = self.families();
        let family = families.entry(name.to_owned()).or_insert_with(|| Family {
            help: String::new(),
            ends: ends.to_vec(),
            series: BTreeMap::new(),
        });
        help.clone_into(&mut family.help);
    }

    /// A series, made when it is asked for first. One that was not declared has `ends`.
    pub fn series(&self, key: &Key, ends: &[f64]) -> Arc<Buckets> {
        let mut families = self.families();
        let family = families.entry(key.name().to_owned()).or_insert_with(|| Family {
            help: String::new(),
            ends: ends.to_vec(),
            series: BTreeMap::new(),
        });
        let labels: Vec<Label> = key.labels().cloned().collect();
        family.series.entry(labels).or_insert_with(|| Arc::new(Buckets::new(&family.ends))).clone()
    }

    /// Adds all series that exist.
    pub fn render(&self, text: &mut String, form: Form) {
        for (name, family) in &*self.families() {
            if family.series.is_empty() {
                continue;
            }
            // Writing to a String does not fail.
            if !family.help.is_empty() {
                let _ = writeln!(text, "# HELP {name} {}", escaped(&family.help, form == Form::OpenMetrics));
            }
            let _ = writeln!(text, "# TYPE {name} histogram");
            form.unit(text, name);
            for (labels, buckets) in &family.series {
                buckets.render(text, name, labels, form);
            }
            form.gap(text);
        }
    }

    fn families(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Family>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buckets {
    fn new(ends: &[f64]) -> Self {
        let counts = ends.iter().map(|end| (*end, AtomicU64::new(0))).collect();
        Self { counts, beyond: AtomicU64::new(0), sum: AtomicU64::new(0), exemplars: Exemplars::default() }
    }

    /// The same as `record`, of something that happened in this span: if that is recorded, it is an example of its bucket.
    pub fn record_of(&self, seconds: f64, context: &SpanContext) {
        let at = self.count(seconds);
        if context.is_sampled() {
            self.exemplars.set(at, self.counts.len() + 1, seconds, context);
        }
    }

    /// Counts a sample, and tells its bucket.
    fn count(&self, seconds: f64) -> usize {
        let at = self.counts.iter().position(|(end, _)| seconds <= *end).unwrap_or(self.counts.len());
        let count = self.counts.get(at).map_or(&self.beyond, |(_, count)| count);
        count.fetch_add(1, Ordering::Relaxed);
        // What is negative or no number adds nothing.
        self.sum.fetch_add((seconds * NANOS) as u64, Ordering::Relaxed);
        at
    }

    fn render(&self, text: &mut String, name: &str, labels: &[Label], form: Form) {
        let mut written = String::new();
        for label in labels {
            let _ = write!(written, "{}=\"{}\",", label.key(), escaped(label.value(), true));
        }
        let mut count = 0;
        let ends = self.counts.iter().map(|(end, own)| (form.bound(*end), own));
        for (at, (end, own)) in ends.chain([("+Inf".to_owned(), &self.beyond)]).enumerate() {
            count += own.load(Ordering::Relaxed);
            let _ = write!(text, "{name}_bucket{{{written}le=\"{end}\"}} {count}");
            if form == Form::OpenMetrics {
                self.exemplars.render(at, text);
            }
            text.push('\n');
        }
        let labels = written.trim_end_matches(',');
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let sum = self.sum.load(Ordering::Relaxed) as f64 / NANOS;
        let _ = writeln!(text, "{name}_sum{braces} {sum}\n{name}_count{braces} {count}");
    }
}

impl HistogramFn for Buckets {
    fn record(&self, seconds: f64) {
        self.count(seconds);
    }
}

/// As the text form asks: backslash and line feed, and in a label's value the quotation mark too.
fn escaped(value: &str, quoted: bool) -> String {
    let value = value.replace('\\', "\\\\").replace('\n', "\\n");
    if quoted { value.replace('"', "\\\"") } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_fall_into_their_buckets_and_are_written_as_prometheus_reads_them() {
        let histograms = Histograms::default();
        histograms.declare("wait_seconds", &[0.1, 1.0], "How long.\nSo long.");
        let key = Key::from_parts("wait_seconds", vec![Label::new("name", "a\"b\\c")]);
        let (one, same) = (histograms.series(&key, &[]), histograms.series(&key, &[]));
        for seconds in [0.05, 0.1, 0.5] {
            one.record(seconds);
        }
        same.record(7.0);
        let plain = Key::from_name("other_seconds");
        histograms.series(&plain, &[2.0]).record(1.5);
        let mut text = String::new();
        histograms.render(&mut text, Form::Text);
        assert_eq!(
            text,
            "# TYPE other_seconds histogram\n\
             other_seconds_bucket{le=\"2\"} 1\n\
             other_seconds_bucket{le=\"+Inf\"} 1\n\
             other_seconds_sum 1.5\n\
             other_seconds_count 1\n\n\
             # HELP wait_seconds How long.\\nSo long.\n\
             # TYPE wait_seconds histogram\n\
             wait_seconds_bucket{name=\"a\\\"b\\\\c\",le=\"0.1\"} 2\n\
             wait_seconds_bucket{name=\"a\\\"b\\\\c\",le=\"1\"} 3\n\
             wait_seconds_bucket{name=\"a\\\"b\\\\c\",le=\"+Inf\"} 4\n\
             wait_seconds_sum{name=\"a\\\"b\\\\c\"} 7.65\n\
             wait_seconds_count{name=\"a\\\"b\\\\c\"} 4\n\n"
        );
    }
}
