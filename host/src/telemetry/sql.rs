//! What a span says of an SQL statement: a short summary, and the text without values.

use std::iter::Peekable;
use std::str::CharIndices;

/// Statements longer than this are cut.
const MAX_TEXT: usize = 4096;
/// `db.query.summary` may have at most so many bytes (semantic conventions).
const MAX_SUMMARY: usize = 255;

/// `db.query.summary`: the verb, then the tables in the order of the text (`SELECT orders users`); none when there is no verb.
pub fn summary(sql: &str) -> Option<String> {
    let mut summary = String::new();
    let mut tokens = Tokens::new(sql).filter(|(kind, _)| *kind != Kind::Blank).peekable();
    let mut verb = Verb::None;
    while let Some((kind, text)) = tokens.next() {
        if kind != Kind::Word || text.starts_with('"') {
            continue;
        }
        let word = text.to_ascii_uppercase();
        match word.as_str() {
            "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "CALL" | "COPY" | "TRUNCATE" => {
                // `ON CONFLICT DO UPDATE` and `FOR UPDATE` belong to a verb that stands there already.
                if word == "UPDATE" && matches!(verb, Verb::Insert | Verb::Locking) {
                    verb = Verb::Other;
                    continue;
                }
                push(&mut summary, &word);
                verb = if word == "INSERT" { Verb::Insert } else { Verb::Other };
                if matches!(word.as_str(), "UPDATE" | "CALL" | "COPY" | "TRUNCATE") {
                    skip(&mut tokens, &["ONLY", "TABLE"]);
                    push_name(&mut summary, &mut tokens);
                }
            }
            "CREATE" | "ALTER" | "DROP" => {
                push(&mut summary, &word);
                verb = Verb::Other;
                skip(&mut tokens, &["OR", "REPLACE", "TEMP", "TEMPORARY", "UNLOGGED", "UNIQUE"]);
                if let Some((_, object)) = tokens.next_if(|(kind, _)| *kind == Kind::Word) {
                    push(&mut summary, &object.to_ascii_uppercase());
                    skip(&mut tokens, &["IF", "NOT", "EXISTS", "CONCURRENTLY", "ONLY"]);
                    push_name(&mut summary, &mut tokens);
                }
            }
            "BEGIN" | "COMMIT" | "ROLLBACK" | "EXPLAIN" | "VACUUM" | "ANALYZE" | "SET" | "SHOW"
                if summary.is_empty() =>
            {
                push(&mut summary, &word);
                verb = Verb::Other;
            }
            "FOR" => verb = Verb::Locking,
            "FROM" | "JOIN" | "INTO" if verb != Verb::None => {
                skip(&mut tokens, &["ONLY", "LATERAL"]);
                push_name(&mut summary, &mut tokens);
                while word == "FROM" && tokens.next_if(|(_, text)| *text == ",").is_some() {
                    push_name(&mut summary, &mut tokens);
                }
            }
            _ => {}
        }
    }
    (!summary.is_empty()).then_some(summary)
}

/// `db.query.text`: the statement with `?` in place of each literal. Placeholders stay; a value in the text never does.
pub fn text(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len().min(MAX_TEXT));
    for (kind, text) in Tokens::new(sql) {
        match kind {
            Kind::Literal => out.push('?'),
            // A comment may hold anything.
            Kind::Blank => out.push(' '),
            Kind::Word | Kind::Sign => out.push_str(text),
        }
        if out.len() >= MAX_TEXT {
            out.truncate(out.floor_char_boundary(MAX_TEXT));
            break;
        }
    }
    out.trim().to_owned()
}

#[derive(PartialEq)]
enum Verb {
    None,
    Insert,
    Locking,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A word, a quoted identifier, or names with dots between.
    Word,
    /// A string or a number.
    Literal,
    /// White space and comments.
    Blank,
    /// Anything else, a placeholder among it.
    Sign,
}

fn push(summary: &mut String, word: &str) {
    if summary.len() + word.len() < MAX_SUMMARY {
        if !summary.is_empty() {
            summary.push(' ');
        }
        summary.push_str(word);
    }
}

fn push_name<'a>(summary: &mut String, tokens: &mut Peekable<impl Iterator<Item = (Kind, &'a str)>>) {
    let not_a_name = ["SELECT", "VALUES", "UNNEST", "SET"];
    let is_name = |text: &str| !not_a_name.iter().any(|word| text.eq_ignore_ascii_case(word));
    if let Some((_, name)) = tokens.next_if(|(kind, text)| *kind == Kind::Word && is_name(text)) {
        push(summary, &name.replace('"', ""));
    }
}

fn skip<'a>(tokens: &mut Peekable<impl Iterator<Item = (Kind, &'a str)>>, words: &[&str]) {
    while tokens.next_if(|(_, text)| words.iter().any(|word| text.eq_ignore_ascii_case(word))).is_some() {}
}

struct Tokens<'a> {
    sql: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl<'a> Tokens<'a> {
    fn new(sql: &'a str) -> Self {
        Self { sql, chars: sql.char_indices().peekable() }
    }

    fn position(&mut self) -> usize {
        self.chars.peek().map_or(self.sql.len(), |(at, _)| *at)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.chars.next_if(|(_, char)| wanted(*char)).is_some() {}
    }

    fn skip_past(&mut self, end: &str) {
        let from = self.position();
        let stop = self.sql[from..].find(end).map_or(self.sql.len(), |at| from + at + end.len());
        while self.chars.next_if(|(at, _)| *at < stop).is_some() {}
    }

    /// Behind an opening quote: to the closing one; a doubled one is part of the text.
    fn quoted(&mut self, quote: char) {
        while let Some((_, char)) = self.chars.next() {
            if char == quote && self.chars.next_if(|(_, next)| *next == quote).is_none() {
                return;
            }
        }
    }

    /// The same for `E'…'`, where a backslash takes the next character with it.
    fn escaped(&mut self) {
        while let Some((_, char)) = self.chars.next() {
            match char {
                '\\' => drop(self.chars.next()),
                '\'' if self.chars.next_if(|(_, next)| *next == '\'').is_none() => return,
                _ => {}
            }
        }
    }

    fn rest(&mut self) -> &'a str {
        let at = self.position();
        &self.sql[at..]
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (Kind, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (start, first) = self.chars.next()?;
        let is_word = |char: char| char.is_alphanumeric() || matches!(char, '_' | '.' | '"' | '$');
        let kind = match first {
            '\'' => {
                self.quoted('\'');
                Kind::Literal
            }
            '-' if self.rest().starts_with('-') => {
                self.skip_past("\n");
                Kind::Blank
            }
            '/' if self.rest().starts_with('*') => {
                self.skip_past("*/");
                Kind::Blank
            }
            '$' if self.rest().starts_with(|char: char| char.is_ascii_digit()) => {
                self.take_while(|char| char.is_ascii_digit());
                Kind::Sign
            }
            // A dollar-quoted string: `$$…$$` or `$tag$…$tag$`.
            '$' if self.rest().contains('$') => {
                self.skip_past("$");
                let end = self.position();
                let tag = &self.sql[start..end];
                self.skip_past(tag);
                Kind::Literal
            }
            char if char.is_ascii_digit() => {
                self.take_while(|char| char.is_ascii_alphanumeric() || char == '.');
                Kind::Literal
            }
            '"' => {
                self.quoted('"');
                while self.rest().starts_with(".\"") {
                    self.chars.next();
                    self.chars.next();
                    self.quoted('"');
                }
                self.take_while(is_word);
                Kind::Word
            }
            char if char.is_alphabetic() || char == '_' => {
                self.take_while(|char| is_word(char) && char != '"');
                // `E'…'`, `B'…'`, `X'…'`, `N'…'`: the letter belongs to the string.
                let end = self.position();
                if end == start + 1 && "eEbBxXnN".contains(char) && self.rest().starts_with('\'') {
                    self.chars.next();
                    if matches!(char, 'e' | 'E') {
                        self.escaped()
                    } else {
                        self.quoted('\'')
                    }
                    Kind::Literal
                } else {
                    if self.sql[start..end].ends_with('.') && self.rest().starts_with('"') {
                        self.chars.next();
                        self.quoted('"');
                    }
                    Kind::Word
                }
            }
            char if char.is_whitespace() => {
                self.take_while(char::is_whitespace);
                Kind::Blank
            }
            _ => Kind::Sign,
        };
        let end = self.position();
        Some((kind, &self.sql[start..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_verb_and_tables() {
        for (sql, expected) in [
            ("SELECT * FROM users WHERE id = $1", "SELECT users"),
            ("select u.* from public.users u join \"orders\" o on o.u = u.id", "SELECT public.users orders"),
            ("SELECT * FROM a, b", "SELECT a b"),
            ("INSERT INTO users (name) VALUES ($1) ON CONFLICT (id) DO UPDATE SET name = $1", "INSERT users"),
            ("INSERT INTO log SELECT * FROM users", "INSERT log SELECT users"),
            ("UPDATE users SET name = 'DELETE FROM x'", "UPDATE users"),
            ("DELETE FROM ONLY users", "DELETE users"),
            ("-- a note\nSELECT 1", "SELECT"),
            ("SELECT * FROM (SELECT id FROM users) AS t", "SELECT SELECT users"),
            ("SELECT id FROM jobs FOR UPDATE SKIP LOCKED", "SELECT jobs"),
            ("CREATE TABLE IF NOT EXISTS users (id int)", "CREATE TABLE users"),
            ("CREATE UNIQUE INDEX CONCURRENTLY by_mail ON users (mail)", "CREATE INDEX by_mail"),
            ("WITH x AS (SELECT 1) SELECT * FROM x", "SELECT SELECT x"),
            ("BEGIN", "BEGIN"),
        ] {
            assert_eq!(summary(sql).as_deref(), Some(expected), "{sql}");
        }
        assert_eq!(summary("nonsense"), None);
        assert!(summary(&format!("SELECT * FROM {}", "x, ".repeat(999))).unwrap().len() <= 255);
    }

    #[test]
    fn a_text_has_no_values() {
        for (sql, expected) in [
            ("SELECT * FROM users WHERE id = $1", "SELECT * FROM users WHERE id = $1"),
            ("SELECT 'it''s', 12.5, e'x', t1.c2", "SELECT ?, ?, ?, t1.c2"),
            ("SELECT 1 -- password: hunter2\nFROM a /* hunter2 */", "SELECT ?  FROM a"),
            ("SELECT $tag$ hunter2 $ $tag$, $$x$$", "SELECT ?, ?"),
            ("SELECT \"a 1\".\"b\" FROM s.\"t 2\"", "SELECT \"a 1\".\"b\" FROM s.\"t 2\""),
            ("SELECT 'unterminated", "SELECT ?"),
            (r"SELECT E'it\'s hunter2', 1", "SELECT ?, ?"),
            ("SELECT a-1, a->>'k'", "SELECT a-?, a->>?"),
        ] {
            assert_eq!(text(sql), expected, "{sql}");
        }
        assert!(text(&"ü".repeat(9_000)).len() <= 4096);
    }
}
