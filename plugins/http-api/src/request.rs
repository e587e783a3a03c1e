//! From an input to a request.

use chassis_guest::Error;
use chassis_guest::serde_json::Value;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Where a request goes.
#[derive(Clone, Copy, Default)]
pub struct Target<'a> {
    /// A template.
    pub path: &'a str,
    /// Its values.
    pub params: Option<&'a BTreeMap<String, Value>>,
    /// The query.
    pub query: Option<&'a BTreeMap<String, Value>>,
}

impl Target<'_> {
    /// The URL. It is always below `base`: neither the template nor a value can climb out of it.
    pub fn url(&self, base: &Url) -> Result<Url, Error> {
        let mut url = base.clone();
        let path = self.expand()?;
        url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
        for (name, value) in self.query.into_iter().flatten() {
            let field = || format!("query.{name}");
            match value {
                Value::Null => {}
                Value::Array(values) => {
                    for value in values {
                        url.query_pairs_mut().append_pair(name, &text(value, field)?);
                    }
                }
                value => {
                    url.query_pairs_mut().append_pair(name, &text(value, field)?);
                }
            }
        }
        Ok(url)
    }

    fn expand(&self) -> Result<String, Error> {
        if !self.path.starts_with('/') || self.path.contains(['?', '#', '\\']) {
            return Err(Error::invalid("path", "must begin with / and hold no query"));
        }
        let mut path = String::with_capacity(self.path.len() + 32);
        let mut used = 0;
        let mut rest = self.path;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                return Err(Error::invalid("path", "a { is not closed"));
            };
            let field = || format!("path_params.{name}");
            let value = self.params.and_then(|params| params.get(name));
            let value =
                value.ok_or_else(|| Error::invalid(field(), format!("the path wants a value for {name}")))?;
            path.push_str(before);
            encode(&text(value, field)?, &mut path).map_err(|why| Error::invalid(field(), why))?;
            used += 1;
            rest = after;
        }
        path.push_str(rest);
        let decoded = path.to_ascii_lowercase().replace("%2e", ".");
        if decoded.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(Error::invalid("path", "must not hold . or .. as a segment"));
        }
        if used < self.params.map_or(0, BTreeMap::len) {
            return Err(Error::invalid("path_params", "holds a value that the path does not want"));
        }
        Ok(path)
    }
}

/// Percent-encodes all but what RFC 3986 calls unreserved.
fn encode(value: &str, into: &mut String) -> Result<(), &'static str> {
    if ["", ".", ".."].contains(&value) {
        return Err("must be neither empty nor dots: the path would be another one");
    }
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte))
            }
            // Writing to a string cannot fail.
            _ => drop(write!(into, "%{byte:02X}")),
        }
    }
    Ok(())
}

fn text(value: &Value, field: impl Fn() -> String) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        _ => Err(Error::invalid(field(), "must be a text, a number or a boolean")),
    }
}

/// Headers of a call.
pub fn headers(input: &BTreeMap<String, String>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::with_capacity(input.len() + 4);
    for (name, value) in input {
        let field = || format!("headers.{name}");
        let key =
            HeaderName::try_from(name).map_err(|_| Error::invalid(field(), "not the name of a header"))?;
        let value = HeaderValue::try_from(value)
            .map_err(|_| Error::invalid(field(), "holds what no header can carry"))?;
        headers.insert(key, value);
    }
    Ok(headers)
}
