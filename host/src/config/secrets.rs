//! What must not be shown, and how it is taken out of a text.

use super::tree::{Node, Value};
use std::borrow::Cow;
use url::Url;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Default passwords that everybody knows. Taking these words out of messages would hide the message and no secret:
/// `password authentication failed`.
const COMMON: &[&str] = &["password", "guest", "postgres", "secret", "admin"];

/// The secrets of a configuration, to be taken out of every text that leaves the host.
#[derive(Clone, Default)]
pub struct Secrets {
    values: Vec<String>,
}

impl Secrets {
    /// Adds one, in the forms in which it may turn up.
    pub fn add(&mut self, secret: &str) {
        // A shorter one would blank out ordinary words, and hides nothing that a guess would not find.
        if secret.len() < 4 || COMMON.contains(&secret) {
            return;
        }
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let json = serde_json::Value::from(secret).to_string();
        let json = json.trim_matches('"').to_owned();
        for form in [secret.to_owned(), encoded, json] {
            if !self.values.contains(&form) {
                self.values.push(form);
            }
        }
        // The longest first: one secret may be the beginning of another.
        self.values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    }

    /// Adds what is secret by itself in a tree: what came from a secret file, and passwords in URLs.
    pub fn add_tree(&mut self, node: &Node) {
        match &node.value {
            Value::Text(text) if text.secret => self.add(&text.text),
            Value::Text(text) => {
                self.add_passwords(&text.text);
            }
            Value::List(list) => list.iter().for_each(|node| self.add_tree(node)),
            Value::Table(table) => table.values().for_each(|node| self.add_tree(node)),
            _ => {}
        }
    }

    /// Adds what a manifest's `secrets` (JSON pointers) point to in an instance's configuration.
    pub fn add_pointers(&mut self, config: &serde_json::Value, pointers: &[String]) {
        for pointer in pointers {
            match config.pointer(pointer) {
                Some(serde_json::Value::String(secret)) => {
                    // A whole URL is not the secret, its password is.
                    self.add_passwords(secret);
                    if !secret.contains("://") {
                        self.add(secret);
                    }
                }
                Some(serde_json::Value::Array(list)) => {
                    list.iter().filter_map(|secret| secret.as_str()).for_each(|secret| self.add(secret));
                }
                _ => {}
            }
        }
    }

    fn add_passwords(&mut self, url: &str) {
        for password in passwords(url) {
            self.add(&password);
            self.add(&decoded(&password));
        }
        // Postgres takes it there too, and that of a key: `?password=…`, `&sslpassword=…`.
        let query = url.split_once("://").and_then(|(_, rest)| rest.split_once('?'));
        let pairs = query.into_iter().flat_map(|(_, query)| query.split(['&', '#']));
        for (_, password) in pairs.filter_map(|pair| pair.split_once('=')).filter(|pair| is_password(pair.0))
        {
            self.add(password);
            self.add(&decoded(password));
        }
    }

    /// The text without the secrets in it; borrowed, when there was none.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.values {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), MASK));
            }
        }
        text
    }

    /// Takes the secrets out of a text in place.
    pub fn scrub_mut(&self, text: &mut String) {
        if let Cow::Owned(scrubbed) = self.scrub(text) {
            *text = scrubbed;
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.values.len())
    }
}

/// A URL without its password; any other text as it is.
pub fn without_password(text: &str) -> Cow<'_, str> {
    match passwords(text).first() {
        Some(password) => Cow::Owned(text.replacen(&format!(":{password}@"), &format!(":{MASK}@"), 1)),
        None => Cow::Borrowed(text),
    }
}

/// What may be the password of a URL, as it is written there, the longest first. Characters that should have been encoded
/// leave it open where a password ends; then rather too much is hidden than too little.
fn passwords(text: &str) -> Vec<String> {
    let Some((_, authority)) = text.split_once("://") else { return Vec::new() };
    let parsed = Url::parse(text).ok();
    // Lists of hosts (`mongodb://u:p@a,b`) are no URL to the parser, and a wrong one may still hold a password.
    let certain = parsed.as_ref().map(|url| url.password().filter(|password| text.contains(password)));
    if certain == Some(None) {
        return Vec::new();
    }
    let before_query = &authority[..authority.find(['?', '#']).unwrap_or(authority.len())];
    let guesses = [authority, before_query].map(|part| Some(part.rsplit_once('@')?.0.split_once(':')?.1));
    let mut found: Vec<String> =
        guesses.into_iter().chain([certain.flatten()]).flatten().map(str::to_owned).collect();
    if let Some(url) = &parsed
        && !url.path().contains('@')
        && !url.query().is_some_and(|query| query.contains('@'))
    {
        found.drain(..2.min(found.len().saturating_sub(1)));
    }
    found.retain(|password| !password.is_empty());
    found.sort_by_key(|password| std::cmp::Reverse(password.len()));
    found.dedup();
    found
}

fn is_password(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("password")
}

fn decoded(text: &str) -> String {
    // `+` is itself outside of forms.
    let form = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(form.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_masked_wherever_it_stands() {
        for (url, shown) in [
            ("postgres://postgres:password@localhost:5432/db", "postgres://postgres:***@localhost:5432/db"),
            ("redis://:canary@127.0.0.1/0", "redis://:***@127.0.0.1/0"),
            ("mongodb://u:p%40ss@a:1,b:2/?x=y", "mongodb://u:***@a:1,b:2/?x=y"),
            ("amqp://u:a@b/c@host/", "amqp://u:***@host/"),
            ("redis://:a#b@host", "redis://:***@host"),
            ("amqp://u:a/b?c@host:1/", "amqp://u:***@host:1/"),
            ("http://localhost:8080/a@b", "http://localhost:8080/a@b"),
            ("plain text", "plain text"),
        ] {
            assert_eq!(without_password(url), shown, "{url}");
        }
    }

    #[test]
    fn a_secret_is_taken_out_in_each_form() {
        let mut secrets = Secrets::default();
        secrets.add("ca\"n ary");
        assert_eq!(secrets.scrub("at ca\"n ary, ca%22n+ary, ca\\\"n ary"), "at ***, ***, ***");
        let mut tree = Node::parse("u = \"amqp://g:p%40ssw@h\"", "f").unwrap();
        secrets.add_tree(&tree);
        assert_eq!(secrets.scrub("p%40ssw p@ssw"), "*** ***");
        assert!(matches!(secrets.scrub("nothing here"), Cow::Borrowed(_)));
        let tree_of = |text: &str| Node::parse(&format!("u = \"{text}\""), "f").unwrap();
        secrets.add_tree(&tree_of("postgres://h/d?sslmode=disable&password=in%20query&x=shown"));
        assert_eq!(secrets.scrub("in%20query, in query, shown"), "***, ***, shown");
        tree.value =
            Value::Text(super::super::tree::Text { text: "from-file".into(), loose: true, secret: true });
        secrets.add_tree(&tree);
        assert_eq!(secrets.scrub("from-file"), "***");
    }
}
