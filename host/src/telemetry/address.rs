//! Addresses of servers, and URLs fit to be shown.

use serde_json::Value;
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
    /// The address that a configuration gives, as a manifest's `server` says where: what the first place leaves open, the next tells.
    /// Answers the URL too, where the address is one.
    pub fn configured<'a>(
        config: &'a Value,
        places: &str,
        default_port: Option<u16>,
    ) -> (Option<Self>, Option<&'a str>) {
        let text = |pointer: &str| config.pointer(pointer)?.as_str().filter(|text| !text.is_empty());
        let (mut host, mut port, mut whole) = (None, None, None);
        for place in places.split(" or ") {
            let found = match place.split_once(':') {
                // A field that holds a host alone holds it as it is: `::1` is no host with a port.
                Some((at, port_at)) => {
                    let number = config.pointer(port_at).and_then(Value::as_u64);
                    port = port.or(number.and_then(|port| u16::try_from(port).ok()));
                    text(at).map(|host| Self { host: host.to_owned(), port: None })
                }
                None => {
                    whole = whole.or(text(place));
                    text(place).and_then(|text| Self::parse(text, None))
                }
            };
            let Some(found) = found else { continue };
            host = host.or(Some(found.host));
            port = port.or(found.port);
        }
        let address = host.map(|host| {
            let port = if host.starts_with('/') { None } else { port.or(default_port) };
            Self { host, port }
        });
        (address, whole)
    }

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
    use serde_json::json;

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
    fn an_address_may_be_told_by_several_fields() {
        let of = |config: Value| Address::configured(&config, "/host:/port or /url", Some(5432)).0;
        let url = "postgres://u:p@db:6432/x";
        assert_eq!(of(json!({ "url": url })), address("db", Some(6432)));
        assert_eq!(of(json!({ "host": "other" })), address("other", Some(5432)));
        assert_eq!(of(json!({ "host": "::1", "port": 1 })), address("::1", Some(1)));
        assert_eq!(of(json!({ "host": "other", "url": url })), address("other", Some(6432)));
        assert_eq!(of(json!({ "port": 1, "url": url })), address("db", Some(1)));
        assert_eq!(of(json!({ "host": "/run/postgresql", "port": 5433 })), address("/run/postgresql", None));
        assert_eq!(of(json!({ "port": 1 })), None);
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
