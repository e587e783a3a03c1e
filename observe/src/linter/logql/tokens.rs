//! What a query of Loki is made of.

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A name or a keyword.
    Word(String),
    /// Quoted by `"` or a back tick.
    Text(String),
    /// Digits and whatever follows them: `5`, `1.5s`, `1h30m`, `20MB`.
    Number(String),
    /// One of [`SYMBOLS`].
    Symbol(&'static str),
}

/// The longer ones first.
const SYMBOLS: &[&str] = &[
    "|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=", "--", "{", "}", "(", ")", "[", "]", ",", "|",
    "=", ">", "<", "+", "-", "*", "/", "%", "^",
];

/// A number that is also a span of time: `5m`, `1h30m`.
pub fn is_span(number: &str) -> bool {
    let units = ["ns", "us", "µs", "ms", "s", "m", "h", "d", "w", "y"];
    let mut rest = number;
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let unit: String = digits.chars().take_while(|c| c.is_alphabetic()).collect();
        if digits.len() == rest.len() || !units.contains(&&*unit) {
            return false;
        }
        rest = &digits[unit.len()..];
    }
    !number.is_empty()
}

pub fn tokens(query: &str) -> Result<Vec<Token>, String> {
    let (mut found, mut rest) = (Vec::new(), query.trim_start());
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let length = |inside: &dyn Fn(char) -> bool| rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let taken = if first == '#' {
            length(&|c| c != '\n')
        } else if first == '"' || first == '`' {
            let length = quoted(rest, first).ok_or("a quoted text does not end")?;
            found.push(Token::Text(rest[1..length - 1].to_owned()));
            length
        } else if first.is_ascii_digit() {
            let length = length(&|c| word(c) || c == '.');
            found.push(Token::Number(rest[..length].to_owned()));
            length
        } else if first.is_alphabetic() || first == '_' {
            let length = length(&word);
            found.push(Token::Word(rest[..length].to_owned()));
            length
        } else {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
            let symbol = symbol.ok_or_else(|| format!("`{first}` has no meaning"))?;
            found.push(Token::Symbol(symbol));
            symbol.len()
        };
        rest = rest[taken..].trim_start();
    }
    Ok(found)
}

/// How long a quoted text is, with its quotes. A back tick knows no escape.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return Some(at + c.len_utf8());
        }
        escaped = c == '\\' && quote == '"' && !escaped;
    }
    None
}
