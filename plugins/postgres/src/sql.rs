//! What must be known of a statement before it is sent, without a parser: how it begins, and where its placeholders are.

use chassis_guest::Error;

/// Words that begin a statement which an operation may not run: they would change the connection, or the way it talks.
const REFUSED: &[&str] = &[
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "prepare",
    "deallocate",
    "set",
    "reset",
    "discard",
    "listen",
    "unlisten",
    "copy",
];

/// A statement in pieces.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    /// The text before each placeholder with the placeholder's number, and the text after the last.
    pub(crate) parts: Vec<(&'a str, usize)>,
    pub(crate) rest: &'a str,
    /// The largest placeholder.
    pub(crate) placeholders: usize,
    /// It begins as a statement that only reads does.
    pub(crate) reads: bool,
}

/// Takes a statement apart.
pub(crate) fn pieces(sql: &str) -> Result<Pieces<'_>, Error> {
    let mut pieces = Pieces { parts: Vec::new(), rest: "", placeholders: 0, reads: false };
    let (mut from, mut at, mut begun) = (0, 0, false);
    while let Some(c) = sql[at..].chars().next() {
        let token = &sql[at..at + length(&sql[at..], c)];
        if !begun && c.is_alphabetic() {
            begun = true;
            let word = token.to_lowercase();
            pieces.reads = matches!(word.as_str(), "select" | "values" | "table" | "show");
            if REFUSED.contains(&word.as_str()) {
                return Err(Error::invalid("sql", format!("`{token}` is not to be used here")));
            }
        }
        if c == '$' && token.len() > 1 && token[1..].bytes().all(|b| b.is_ascii_digit()) {
            let number = token[1..].parse().ok().filter(|number| (1..=65_535).contains(number));
            let number = number
                .ok_or_else(|| Error::invalid("sql", format!("`{token}`: placeholders are $1, $2, …")))?;
            pieces.parts.push((&sql[from..at], number));
            pieces.placeholders = pieces.placeholders.max(number);
            from = at + token.len();
        }
        at += token.len();
    }
    pieces.rest = &sql[from..];
    Ok(pieces)
}

/// A name of a table or column, quoted.
pub(crate) fn quoted(name: &str, field: &str) -> Result<String, Error> {
    if name.is_empty() || name.len() > 63 || name.contains('\0') {
        return Err(Error::invalid(field, format!("`{name}` is not a name")));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// `name` or `schema.name`, each part quoted.
pub(crate) fn table(name: &str) -> Result<String, Error> {
    match name.split_once('.') {
        Some((schema, name)) => Ok(format!("{}.{}", quoted(schema, "table")?, quoted(name, "table")?)),
        None => quoted(name, "table"),
    }
}

/// The length of the token that `rest` begins with.
fn length(rest: &str, c: char) -> usize {
    let to = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    let word = |from: usize| {
        let end = rest[from..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
        end.map_or(rest.len(), |at| from + at)
    };
    match c {
        '\'' => to(1, "'"),
        '"' => to(1, "\""),
        'e' | 'E' if rest[1..].starts_with('\'') => escaped(rest),
        '-' if rest.starts_with("--") => to(2, "\n"),
        '/' if rest.starts_with("/*") => comment(rest),
        // A placeholder, or `$tag$ … $tag$`.
        '$' => {
            let end = word(1);
            let tag = rest[1..].starts_with(|c: char| !c.is_ascii_digit()) && rest[end..].starts_with('$');
            if tag { to(end + 1, &rest[..=end]) } else { end }
        }
        c if c.is_alphanumeric() || c == '_' => {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
            end.unwrap_or(rest.len())
        }
        c => c.len_utf8(),
    }
}

/// `E'…'`, where a backslash takes the meaning from what follows it.
fn escaped(rest: &str) -> usize {
    let mut skip = false;
    for (at, c) in rest.char_indices().skip(2) {
        match c {
            _ if skip => skip = false,
            '\\' => skip = true,
            '\'' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Comments hold comments.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_where_they_are() {
        let sql = "SELECT '$3', \"$4\", E'\\'$5', $q$ $6 $q$, a$7 -- $8\n /* /* $9 */ $9 */ FROM t WHERE é = $2 + $1";
        let pieces = pieces(sql).unwrap();
        assert_eq!(pieces.parts.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(pieces.placeholders, 2);
        assert!(pieces.parts[0].0.ends_with("é = "));
    }

    #[test]
    fn what_changes_the_connection_is_refused() {
        assert!(pieces(" /* x */ BEGIN").is_err());
        assert!(pieces("SELECT $0").is_err());
        assert!(pieces("SELECT 1").is_ok());
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(table("app.us\"ers").unwrap(), "\"app\".\"us\"\"ers\"");
        assert!(table("").is_err());
    }
}
