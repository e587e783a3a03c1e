//! What a person sees while the demo plays.

use crate::telemetry::Trace;
use crate::telemetry::waterfall::{self, Style};
use std::io::{IsTerminal, Write};

/// Where the demo is told: standard output, or standard error where the output is for a program.
pub struct Screen {
    to_stderr: bool,
    style: Style,
    /// Lines can be written over, and coloured.
    live: bool,
}

impl Screen {
    /// A screen; with `json` standard output is left alone.
    pub fn new(json: bool) -> Self {
        let live = if json { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let style = Style { colours: live && !plain, ..Style::of_terminal() };
        Self { to_stderr: json, style, live }
    }

    /// The title of a scene.
    pub fn title(&self, text: &str) {
        self.line("");
        self.line(&if self.style.colours { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() });
    }

    /// A line.
    pub fn line(&self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    /// A line that belongs to the check above it.
    pub fn detail(&self, text: &str) {
        self.line(&format!("    {text}"));
    }

    /// A check begins.
    pub fn begin(&self, name: &str) {
        if self.live {
            self.write(&format!("… {name}"));
        }
    }

    /// A check ended; `told` is what was found.
    pub fn end(&self, ok: bool, name: &str, told: &str, ms: f64) {
        if self.live {
            self.write("\r\x1b[2K");
        }
        let colon = if told.is_empty() { "" } else { ": " };
        self.line(&format!("{} {name}{colon}{told}  ({ms:.1} ms)", self.mark(ok)));
    }

    /// A trace as a waterfall.
    pub fn trace(&self, trace: &Trace) {
        self.line("");
        for line in waterfall::draw(trace, self.style).lines() {
            self.line(&format!("  {line}"));
        }
        self.line("");
    }

    /// The mark of a good or a bad end.
    pub fn mark(&self, ok: bool) -> &'static str {
        match (ok, self.style.colours) {
            (true, true) => "\x1b[32m✓\x1b[0m",
            (true, false) => "✓",
            (false, true) => "\x1b[31m✗\x1b[0m",
            (false, false) => "✗",
        }
    }

    /// A reader that has gone away (`chassis demo | head`) is no reason to stop half way.
    fn write(&self, text: &str) {
        if self.to_stderr {
            let _ = std::io::stderr().write_all(text.as_bytes());
        } else {
            let _ = std::io::stdout().write_all(text.as_bytes());
            let _ = std::io::stdout().flush();
        }
    }
}
