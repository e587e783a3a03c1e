//! What must be known of a statement before it runs, without a parser: its words, its placeholders, its end.

use chassis_guest::Error;
use chassis_guest::serde_json::Value;
use sqlx::AssertSqlSafe;

/// Words that begin a statement which an operation may not run: they would change the connection and not the data.
const REFUSED: &[&str] =
    &["begin", "commit", "end", "rollback", "savepoint", "release", "attach", "detach", "pragma"];

/// What a statement is like.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The first word, in lower case.
    pub(crate) verb: String,
    /// It may change something.
    pub(crate) writes: bool,
    /// It changes rows, so that their number means something.
    pub(crate) counts: bool,
    /// The largest placeholder.
    placeholders: usize,
    /// How many statements there are.
    statements: usize,
}

/// Looks at one statement with its values.
pub(crate) fn check(sql: &str, params: &[Value]) -> Result<Shape, Error> {
    let shape = shape(sql)?;
    if shape.statements != 1 {
        return Err(Error::invalid("sql", format!("is {} statements, and must be one", shape.statements)));
    }
    if shape.placeholders != params.len() {
        let (wants, has) = (shape.placeholders, params.len());
        return Err(Error::invalid("params", format!("the statement wants {wants} values, and {has} came")));
    }
    Ok(shape)
}

/// Looks at a migration: any number of statements, none with values.
pub(crate) fn check_script(sql: &str) -> Result<(), Error> {
    if shape(sql)?.placeholders > 0 {
        return Err(Error::invalid("sql", "a migration has no values"));
    }
    Ok(())
}

/// A name of a table or column, quoted; `schema.name` with each part quoted.
pub(crate) fn quoted(name: &str, field: &str) -> Result<String, Error> {
    let parts: Vec<&str> = name.split('.').collect();
    let good = |part: &&str| {
        !part.is_empty()
            && part.len() <= 128
            && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | ' '))
    };
    if parts.len() > 2 || !parts.iter().all(good) {
        return Err(Error::invalid(field, format!("`{name}` is not a name")));
    }
    Ok(parts.iter().map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join("."))
}

/// A name with whatever letters, quoted.
pub(crate) fn quoted_part(name: &str, field: &str) -> Result<String, Error> {
    if name.len() > 256 || name.chars().any(|c| c.is_control() || c == '"' || c == '\'') {
        return Err(Error::invalid(field, format!("`{name}` is not a name")));
    }
    Ok(format!("\"{name}\""))
}

/// A statement put together here, of quoted names and placeholders.
pub(crate) fn ours(sql: String) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql)
}

fn shape(sql: &str) -> Result<Shape, Error> {
    let mut shape = Shape::default();
    let mut rest = sql;
    let mut begun = false;
    let mut trigger = false;
    let mut last = String::new();
    while let Some(c) = rest.chars().next() {
        let taken = token(rest, c);
        let text = &rest[..taken];
        rest = &rest[taken..];
        match c {
            c if c.is_whitespace() => {}
            '-' if text.starts_with("--") => {}
            '/' if text.starts_with("/*") => {}
            // The body of a trigger holds statements of its own, up to END.
            ';' if trigger && last != "end" => {}
            ';' => (begun, trigger) = (false, false),
            _ => {
                let word = text.to_lowercase();
                if !begun {
                    begun = true;
                    shape.statements += 1;
                    if REFUSED.contains(&word.as_str()) {
                        return Err(Error::invalid("sql", format!("`{text}` is not to be used here")));
                    }
                    if shape.statements == 1 {
                        shape.verb.clone_from(&word);
                    }
                }
                match (c, word.as_str()) {
                    ('$', _) => shape.placeholders = shape.placeholders.max(number(text)?),
                    ('?' | '@' | ':', _) if text.len() > 1 || c == '?' => {
                        return Err(Error::invalid("sql", format!("`{text}`: placeholders are $1, $2, …")));
                    }
                    (_, "trigger") if shape.verb == "create" => trigger = true,
                    (_, "insert" | "update" | "delete") => shape.counts = true,
                    _ => {}
                }
                last = word;
            }
        }
    }
    shape.counts = match shape.verb.as_str() {
        "insert" | "update" | "delete" | "replace" => true,
        "with" => shape.counts,
        _ => false,
    };
    shape.writes = shape.counts || !matches!(shape.verb.as_str(), "select" | "values" | "with" | "explain");
    Ok(shape)
}

/// The length of the token that `rest` begins with.
fn token(rest: &str, c: char) -> usize {
    let quoted = |close: char| rest[1..].find(close).map_or(rest.len(), |at| at + 1 + close.len_utf8());
    let named = |from: usize| {
        let end = rest[from..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
        end.map_or(rest.len(), |at| at + from)
    };
    match c {
        '\'' | '"' | '`' => quoted(c),
        '[' => quoted(']'),
        '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
        '/' if rest.starts_with("/*") => rest[2..].find("*/").map_or(rest.len(), |at| at + 4),
        '$' | '?' | '@' | ':' => named(1),
        c if c.is_alphanumeric() || c == '_' => named(0),
        c => c.len_utf8(),
    }
}

fn number(placeholder: &str) -> Result<usize, Error> {
    match placeholder[1..].parse() {
        Ok(number @ 1..=32_766) => Ok(number),
        _ => Err(Error::invalid("sql", format!("`{placeholder}`: placeholders are $1, $2, …"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis_guest::serde_json::json;

    #[test]
    fn placeholders_in_texts_and_comments_do_not_count() {
        let sql = "SELECT '$3', \"$4\" -- $5\n FROM t /* $6 */ WHERE a = $1 AND b = $2";
        assert!(check(sql, &[json!(1), json!(2)]).is_ok_and(|shape| !shape.writes));
        assert!(check(sql, &[json!(1)]).is_err());
    }

    #[test]
    fn what_changes_the_connection_is_refused() {
        assert!(check("BEGIN", &[]).is_err());
        assert!(check("SELECT 1; PRAGMA query_only = 0", &[]).is_err());
        assert!(check("SELECT $0", &[]).is_err());
    }

    #[test]
    fn a_trigger_is_one_statement() {
        let sql = "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET n = n + 1; DELETE FROM c; END;";
        assert!(check(sql, &[]).is_ok_and(|shape| shape.writes && !shape.counts));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("main.users", "table").unwrap(), "\"main\".\"users\"");
        assert!(quoted("users\"; DROP TABLE users; --", "table").is_err());
    }
}
