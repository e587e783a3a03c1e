//! OpenMetrics 1.0: the form of metrics that has room for examples. Histograms are written so by themselves; what the exporter writes
//! in Prometheus' text form is turned into it.

use std::fmt::Write;

/// In which form metrics are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Prometheus' text form, 0.0.4.
    Text,
    /// OpenMetrics.
    OpenMetrics,
}

/// What names of metrics end with that have a unit.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];
const TOTAL: &str = "_total";

impl Form {
    /// The form that `Accept` headers like better; the text form where they do not care.
    pub fn accepted<'a>(headers: impl Iterator<Item = &'a str>) -> Self {
        let (mut text, mut open) = (0.0, 0.0);
        for range in headers.flat_map(|header| header.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut known) = (1.0, true);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => known = value.trim().trim_matches('"').starts_with("1."),
                    _ => {}
                }
            }
            match kind.as_str() {
                "application/openmetrics-text" if known => open = f64::max(open, quality),
                "text/plain" | "text/*" | "*/*" => text = f64::max(text, quality),
                _ => {}
            }
        }
        // Both named alike: the one that says more.
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// The upper end of a bucket: OpenMetrics has 1 as 1.0.
    pub(super) fn bound(self, end: f64) -> String {
        match self {
            Self::OpenMetrics if end.fract() == 0.0 => format!("{end:.1}"),
            _ => end.to_string(),
        }
    }

    /// Says the unit of a family, where there is one and a place to say it.
    pub(super) fn unit(self, text: &mut String, name: &str) {
        let has = |unit: &&&str| name.strip_suffix(**unit).is_some_and(|name| name.ends_with('_'));
        if self == Self::OpenMetrics
            && let Some(unit) = UNITS.iter().find(has)
        {
            // Writing to a string does not fail.
            let _ = writeln!(text, "# UNIT {name} {unit}");
        }
    }

    /// What stands between two families.
    pub(super) fn gap(self, text: &mut String) {
        if self == Self::Text {
            text.push('\n');
        }
    }
}

/// The exporter's counters and gauges. A counter is known by its name without `_total`, which each of its samples has; one whose name
/// has no such end is told as of no type, since its name must not change.
pub(super) fn converted(exposition: &str) -> String {
    let mut text = String::with_capacity(exposition.len());
    // A family's help comes before its type, which decides on the name.
    let mut help = None;
    for line in exposition.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (family, kind) = match (kind, name.strip_suffix(TOTAL)) {
                ("counter", Some(family)) => (family, kind),
                ("counter", None) => (name, "unknown"),
                _ => (name, kind),
            };
            if let Some(help) = help.take() {
                // Backslash and line feed are escaped already.
                let _ = writeln!(text, "# HELP {family} {}", help.replace('"', "\\\""));
            }
            let _ = writeln!(text, "# TYPE {family} {kind}");
            Form::OpenMetrics.unit(&mut text, family);
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scraper_says_which_form() {
        let of = |accept: &str| Form::accepted([accept].into_iter());
        // Prometheus 2 and 3, a browser, and who does not say.
        let two = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!([of(two), of(three)], [Form::OpenMetrics; 2]);
        for text in [
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "",
            "*/*",
            "text/plain, application/openmetrics-text; q=0.1",
            "application/openmetrics-text; q=0",
            "application/openmetrics-text; version=0.0.1",
        ] {
            assert_eq!(of(text), Form::Text, "{text}");
        }
        assert_eq!(of("Application/OpenMetrics-Text"), Form::OpenMetrics);
        assert_eq!(
            Form::accepted(["text/plain;q=0.5", "application/openmetrics-text"].into_iter()),
            Form::OpenMetrics
        );
    }

    #[test]
    fn families_get_the_names_that_openmetrics_wants() {
        let exposition = "# HELP cpu_seconds_total Time \\\\ \"spent\".\n# TYPE cpu_seconds_total counter\ncpu_seconds_total 3\n\n\
             # TYPE reconnects counter\nreconnects{name=\"a\"} 1\n\n# HELP size_bytes Size.\n# TYPE size_bytes gauge\nsize_bytes 7\n\n";
        assert_eq!(
            converted(exposition),
            "# HELP cpu_seconds Time \\\\ \\\"spent\\\".\n# TYPE cpu_seconds counter\n# UNIT cpu_seconds seconds\ncpu_seconds_total 3\n\
             # TYPE reconnects unknown\nreconnects{name=\"a\"} 1\n\
             # HELP size_bytes Size.\n# TYPE size_bytes gauge\n# UNIT size_bytes bytes\nsize_bytes 7\n"
        );
    }
}
