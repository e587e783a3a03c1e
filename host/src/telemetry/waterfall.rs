//! A trace as a tree with bars, for a terminal.

use super::ring::{Trace, TraceSpan};
use std::fmt::Write;

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Columns there are.
    pub width: usize,
    /// Whether colours may be used.
    pub colours: bool,
}

impl Style {
    /// What the terminal of standard output allows: its width from `COLUMNS`, else 100 columns; no colours into a pipe or with `NO_COLOR`.
    pub fn of_terminal() -> Self {
        use std::io::IsTerminal;
        let width = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { width: usize::max(width, 40), colours: !plain && std::io::stdout().is_terminal() }
    }
}

/// Draws a trace, one line a span.
pub fn draw(trace: &Trace, style: Style) -> String {
    let Some(start) = trace.spans.iter().map(|span| span.start_us).min() else { return String::new() };
    let end = trace.spans.iter().map(|span| span.start_us + span.duration_us).max().unwrap_or(start);
    let mut rows = Vec::new();
    let roots = trace.spans.iter().filter(|span| parent(trace, span).is_none());
    for root in roots {
        collect(trace, root, "", Place::Root, &mut rows);
    }
    // A third for the names, but not more than they need; 9 for the duration; the rest for bars.
    let longest = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0);
    let names = longest.min(style.width * 45 / 100).max(12);
    let bars = style.width.saturating_sub(names + 11).max(10);
    let total = (end - start).max(1);
    let mut out = String::new();
    for row in rows {
        let (before, length) = bar(row.span.start_us - start, row.span.duration_us, total, bars);
        let (colour, plain) = if style.colours { (colour(&row), "\x1b[0m") } else { ("", "") };
        let line = format!(
            "{:names$} {}{colour}{}{plain}{} {:>9}",
            fit(&row.label, names),
            " ".repeat(before),
            if row.span.error.is_some() { "▒" } else { "█" }.repeat(length),
            " ".repeat(bars - before - length),
            duration(row.span.duration_us),
        );
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

struct Row<'a> {
    label: String,
    span: &'a TraceSpan,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Middle,
    Last,
}

fn collect<'a>(trace: &'a Trace, span: &'a TraceSpan, indent: &str, place: Place, rows: &mut Vec<Row<'a>>) {
    let (branch, below) = match place {
        Place::Root => ("", ""),
        Place::Middle => ("├─ ", "│  "),
        Place::Last => ("└─ ", "   "),
    };
    let mark = match (&span.error, is_undo(span)) {
        (Some(_), _) => "✗ ",
        (None, true) => "↩ ",
        (None, false) => "",
    };
    rows.push(Row { label: format!("{indent}{branch}{mark}{}", span.name), span });
    let children: Vec<&TraceSpan> = trace.spans.iter().filter(|child| is_child(child, span)).collect();
    for (at, child) in children.iter().enumerate() {
        let place = if at + 1 == children.len() { Place::Last } else { Place::Middle };
        collect(trace, child, &format!("{indent}{below}"), place, rows);
    }
}

fn parent<'a>(trace: &'a Trace, span: &TraceSpan) -> Option<&'a TraceSpan> {
    trace.spans.iter().find(|other| is_child(span, other))
}

fn is_child(span: &TraceSpan, of: &TraceSpan) -> bool {
    span.parent_id.as_deref() == Some(&of.span_id) && span.span_id != of.span_id
}

/// Steps that take an earlier one back: the flow engine calls them so.
fn is_undo(span: &TraceSpan) -> bool {
    span.name.starts_with("undo ")
}

/// Where a bar begins and how long it is; at least one column, and within the room.
fn bar(offset: u64, duration: u64, total: u64, room: usize) -> (usize, usize) {
    let column = |micros: u64| (u128::from(micros) * room as u128 / u128::from(total)) as usize;
    let before = column(offset).min(room - 1);
    let length = (column(offset + duration).max(before + 1) - before).min(room - before);
    (before, length)
}

fn colour(row: &Row<'_>) -> &'static str {
    match (&row.span.error, is_undo(row.span), &*row.span.kind) {
        (Some(_), ..) => "\x1b[31m",
        (None, true, _) => "\x1b[33m",
        (None, false, "client" | "producer") => "\x1b[36m",
        (None, false, "consumer") => "\x1b[35m",
        (None, false, _) => "\x1b[34m",
    }
}

fn fit(label: &str, room: usize) -> String {
    if label.chars().count() <= room {
        return label.to_owned();
    }
    let mut cut: String = label.chars().take(room - 1).collect();
    cut.push('…');
    cut
}

fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>, name: &str, start_us: u64, duration_us: u64) -> TraceSpan {
        TraceSpan {
            span_id: id.into(),
            parent_id: parent.map(str::to_owned),
            name: name.into(),
            kind: "internal".into(),
            start_us,
            duration_us,
            error: None,
            attributes: Default::default(),
            links: Vec::new(),
        }
    }

    #[test]
    fn a_trace_is_drawn_as_a_tree() {
        let mut failed = span("4", Some("1"), "publish welcome_messages", 4_000, 4_000);
        failed.error = Some("unavailable".into());
        let trace = Trace {
            trace_id: "1".into(),
            spans: vec![
                span("1", Some("remote"), "flow create-user", 0, 10_000),
                span("2", Some("1"), "step save", 0, 4_000),
                span("3", Some("2"), "INSERT users", 1_000, 2_000),
                failed,
                span("5", Some("1"), "undo save", 8_000, 500),
            ],
        };
        let drawn = draw(&trace, Style { width: 60, colours: false });
        let labels: Vec<&str> =
            drawn.lines().map(|line| line.split(['█', '▒']).next().unwrap().trim()).collect();
        let expected = [
            "flow create-user",
            "├─ step save",
            "│  └─ INSERT users",
            "├─ ✗ publish welcome_messa…",
            "└─ ↩ undo save",
        ];
        assert_eq!(labels, expected, "{drawn}");
        let durations: Vec<&str> =
            drawn.lines().map(|line| line.rsplit(['█', '▒']).next().unwrap().trim()).collect();
        assert_eq!(durations, ["10.0 ms", "4.0 ms", "2.0 ms", "4.0 ms", "500 µs"], "{drawn}");
        let begins =
            |line: usize| drawn.lines().nth(line).unwrap().chars().position(|char| "█▒".contains(char));
        assert!(
            begins(0) == begins(1) && begins(1) < begins(2) && begins(2) < begins(3) && begins(3) < begins(4)
        );
        assert!(drawn.lines().all(|line| line.chars().count() <= 60), "{drawn}");
    }

    #[test]
    fn bars_stay_within_their_room() {
        assert_eq!(bar(0, 0, 10, 20), (0, 1));
        assert_eq!(bar(10, 0, 10, 20), (19, 1));
        assert_eq!(bar(5, 5, 10, 20), (10, 10));
    }

    #[test]
    fn an_empty_trace_draws_nothing() {
        assert_eq!(
            draw(&Trace { trace_id: String::new(), spans: Vec::new() }, Style { width: 80, colours: false }),
            ""
        );
    }
}
