//! Variables in queries.

/// A query with its variables filled in: `$name` and `${name}`, for the names that `value` knows. Others stay.
pub fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let (name, whole) = variable(after);
        match name.and_then(&value) {
            Some(value) => out.push_str(&value),
            None => out.push_str(whole),
        }
        rest = &after[whole.len()..];
    }
    out + rest
}

/// The name after a dollar sign, if there is one, and all that is its use. What follows a colon says how a value is written.
fn variable(text: &str) -> (Option<&str>, &str) {
    if let Some(inner) = text.strip_prefix("${")
        && let Some(end) = inner.find('}')
    {
        return (inner[..end].split(':').next(), &text[..end + 3]);
    }
    let word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let length = text[1..].chars().take_while(word).count();
    let name = (length > 0).then(|| &text[1..=length]);
    (name, &text[..=length])
}

/// Every variable that a text uses.
pub fn used(text: &str) -> Vec<String> {
    let found = std::cell::RefCell::new(Vec::new());
    fill(text, |name| {
        found.borrow_mut().push(name.to_owned());
        None
    });
    found.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_filled_in_and_the_rest_stays() {
        let known = |name: &str| (name == "job").then(|| ".+".to_owned());
        assert_eq!(fill(r#"up{job=~"$job"}[$__range]"#, known), r#"up{job=~".+"}[$__range]"#);
        assert_eq!(fill("${job:pipe}/${other}/$/$job", known), ".+/${other}/$/.+");
        assert_eq!(used("a $b ${c:csv} $ ${"), ["b", "c"]);
    }
}
