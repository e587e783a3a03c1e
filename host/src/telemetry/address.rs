//! Addresses of servers, and URLs fit to be shown.

use url::Url;

/// Query parameters whose values are shown nowhere (those that the conventions name, and what is called like a secret).
const SECRET_WORDS: &[&str] =
    &["key", "token", "secret", "password", "passwd", "signature", "auth", "credential"];
const REDACTED: &str = "REDACTED";

/// Where a server is.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// Host name, IP address or path of a Unix socket.
    pub host: String,
    /// Its port, where it has one.
    pub port: Option<u16>,
}

impl Address {
    /// Reads a URL, `host:port`, `host` or the path of a file. Of a list (`a:1,b:2`) the first one counts.
    pub fn parse(text: &str, default_port: Option<u16>) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let text = text.strip_prefix("unix://").unwrap_or(text);
        if text.starts_with('/') {
            return Some(Self { host: text.to_owned(), port: None });
        }
        // Not `Url`: drivers accept lists of hosts and passwords that are not encoded, which it refuses.
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
        let first = hosts.split(',').next().unwrap_or_default();
        let (host, port) = match first.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => first.split_once(':').map_or((first, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => Some(port.parse().ok()?),
            None => {
                default_port.or_else(|| Url::parse(text).ok().and_then(|url| url.port_or_known_default()))
            }
        };
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port })
    }
}

/// A URL without user, password and the values of parameters that hold secrets.
pub fn redact(mut url: Url) -> String {
    if !url.username().is_empty() || url.password().is_some() {
        // Refused only for URLs that cannot have a user, and those have none.
        let _ = url.set_username(REDACTED);
        let _ = url.set_password(Some(REDACTED));
    }
    if url.query_pairs().any(|(name, _)| is_secret(&name)) {
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .map(|(name, value)| {
                let value = if is_secret(&name) { REDACTED.into() } else { value };
                (name.into_owned(), value.into_owned())
            })
            .collect();
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    url.into()
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "sig" || SECRET_WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: Option<u16>) -> Option<Address> {
        Some(Address { host: host.to_owned(), port })
    }

    #[test]
    fn addresses_are_read_from_what_drivers_accept() {
        assert_eq!(
            Address::parse("redis://:p@ss:w0rd@cache:6380/0", Some(6379)),
            address("cache", Some(6380))
        );
        assert_eq!(
            Address::parse("postgres://u:p@db/microservices_db", Some(5432)),
            address("db", Some(5432))
        );
        assert_eq!(Address::parse("mongodb://a:27018,b:27019/x", Some(27017)), address("a", Some(27018)));
        assert_eq!(Address::parse("localhost:5672", None), address("localhost", Some(5672)));
        assert_eq!(Address::parse("http://[::1]:9200", None), address("::1", Some(9200)));
        assert_eq!(Address::parse("https://api.example.org/v1", None), address("api.example.org", Some(443)));
        assert_eq!(Address::parse("/run/redis.sock", None), address("/run/redis.sock", None));
        assert_eq!(Address::parse("unix:///run/redis.sock", Some(6379)), address("/run/redis.sock", None));
        assert_eq!(Address::parse("", None), None);
    }

    #[test]
    fn secrets_in_urls_are_not_shown() {
        let shown = |url: &str| redact(Url::parse(url).unwrap());
        assert_eq!(shown("http://user:hunter2@h/p?x=1"), "http://REDACTED:REDACTED@h/p?x=1");
        assert_eq!(shown("http://h/p?api_key=hunter2&x=a%20b"), "http://h/p?api_key=REDACTED&x=a+b");
        assert_eq!(shown("https://h/p?sig=hunter2"), "https://h/p?sig=REDACTED");
        assert_eq!(shown("https://h/p?q=x"), "https://h/p?q=x");
    }
}
