//! Rules that hold for each file alone.

use super::{Source, Violation};

/// Longer files have more than one purpose.
const MOST_LINES: usize = 400;

// Put together from halves, so that this file keeps the rules, too.
const UNSAFE: &str = concat!("un", "safe");
const IGNORE: &str = concat!("#[ig", "nore");
const IGNORED_EXAMPLE: &str = concat!("```ig", "nore");
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!(")];
const PLACES: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Every rule that a file breaks.
pub fn check(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let path = source.path.as_str();
    if path.ends_with("Cargo.lock") {
        foreign_crates(source, &mut found);
        return found;
    }
    let rust = path.ends_with(".rs");
    let counted = [".rs", ".toml", ".sh", ".c", ".java"].iter().any(|ending| path.ends_with(ending));
    let lines = source.text.lines().count();
    if counted && lines > MOST_LINES {
        found.push(Violation::new(path, MOST_LINES + 1, format!("{lines} lines; split it by purpose")));
    }
    for (number, line) in (1..).zip(source.text.lines()) {
        let mut tell = |advice: &str| found.push(Violation::new(path, number, advice));
        if NOTES.iter().any(|note| has_word(line, note)) {
            tell("an open note; do it now, or write an issue");
        }
        if PLACES.iter().any(|place| has_word(line, place)) {
            tell("a path of somebody's machine; derive it, or say it in words");
        }
        if rust && line.contains(IGNORED_EXAMPLE) {
            tell("an example that is never compiled; let it compile, or call it `text`");
        }
        let code = line.split("//").next().unwrap_or_default();
        if rust && code.contains(IGNORE) {
            tell("an ignored test; make it run, or let it say `skipped: NAME: why`");
        }
        if rust && !path.starts_with("contract/") && leaves_safety(code) {
            tell("unsafe code belongs below contract/ only; use what chassis-guest or chassis-loader offer");
        }
    }
    found
}

/// A lock file that names another source would not build elsewhere.
fn foreign_crates(source: &Source, found: &mut Vec<Violation>) {
    for (number, line) in (1..).zip(source.text.lines()) {
        if line.starts_with("source = ") && !line.contains(CRATES_IO) {
            found.push(Violation::new(
                &source.path,
                number,
                "a crate from elsewhere; take it from crates.io",
            ));
        }
    }
}

/// Whether the keyword opens something here; a string may well contain the word.
fn leaves_safety(code: &str) -> bool {
    code.split(UNSAFE).skip(1).any(|after| {
        let opened = |what: &&str| after.trim_start().starts_with(*what);
        ["{", "(", "fn ", "impl ", "impl<", "trait ", "extern "].iter().any(opened)
    })
}

/// Whether the text stands there as a word, not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let open_end = word.ends_with(['/', '(']);
        !before.is_some_and(joins) && (open_end || !after.is_some_and(joins))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(path: &str, text: &str) -> Vec<usize> {
        check(&Source { path: path.into(), text: text.into() })
            .iter()
            .map(|violation| violation.line)
            .collect()
    }

    #[test]
    fn each_rule_finds_its_line() {
        assert_eq!(advice("host/src/a.rs", &format!("fn a() {{}}\n{UNSAFE} {{}}\n")), [2]);
        assert_eq!(advice("contract/abi/src/a.rs", &format!("{UNSAFE} {{}}\n")), [] as [usize; 0]);
        assert_eq!(
            advice("host/src/lib.rs", &format!("#![forbid({UNSAFE}_code)]\n// {UNSAFE}\n")),
            [] as [usize; 0]
        );
        assert_eq!(advice("host/src/a.rs", &format!("\"'{UNSAFE}-inline'\"\n#[{UNSAFE}(no_mangle)]\n")), [2]);
        assert_eq!(advice("host/src/a.rs", &format!("#[test]\n{IGNORE}]\n")), [2]);
        assert_eq!(advice("host/src/a.rs", &format!("/// {IGNORED_EXAMPLE}\n")), [1]);
        assert_eq!(advice("README.md", &format!("x\n\n{}: later\n", NOTES[0])), [3]);
        assert_eq!(
            advice("README.md", &format!("cd {}x\nhttps://a.example{}x\n", PLACES[0], PLACES[2])),
            [1]
        );
        assert_eq!(advice("host/src/a.rs", &"\n".repeat(MOST_LINES + 1)), [MOST_LINES + 1]);
        let lock = format!("source = \"{CRATES_IO}\"\nsource = \"registry+https://mirror.example\"\n");
        assert_eq!(advice("Cargo.lock", &lock), [2]);
    }
}
