//! Where requests come in that start runs.

use percent_encoding::percent_decode_str;
use std::cmp::Ordering;

/// Where requests come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `POST`.
    pub method: String,
    /// `/users/{id}`.
    pub path: String,
}

impl Route {
    /// Whether a request can be meant for both.
    pub fn meets(&self, other: &Self) -> bool {
        let shape = |route: &Self| -> Vec<Option<String>> {
            let plain = |segment: &str| name(segment).is_none().then(|| segment.to_owned());
            route.path.split('/').map(plain).collect()
        };
        self.method == other.method && shape(self) == shape(other)
    }

    /// The names in braces: `id`.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter_map(name)
    }

    /// What a path has in the places of the names, percent-decoded; nothing if the path is not of this shape.
    pub fn captures(&self, path: &str) -> Option<Vec<(&str, String)>> {
        let mut captured = Vec::new();
        let mut given = path.split('/');
        for segment in self.path.split('/') {
            let given = percent_decode_str(given.next()?).decode_utf8().ok()?;
            match name(segment) {
                Some(name) if !given.is_empty() => captured.push((name, given.into_owned())),
                None if segment == given => {}
                _ => return None,
            }
        }
        given.next().is_none().then_some(captured)
    }

    /// The one of two that says more of the same path comes first: `/users/me` before `/users/{id}`.
    pub fn order(&self, other: &Self) -> Ordering {
        let names = |route: &Self| -> Vec<bool> {
            route.path.split('/').map(|segment| name(segment).is_some()).collect()
        };
        names(self).cmp(&names(other))
    }
}

fn name(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Route {
        Route { method: "GET".to_owned(), path: path.to_owned() }
    }

    #[test]
    fn a_path_gives_what_stands_in_the_places_of_names() {
        let users = route("/users/{id}/notes/{note}");
        let captured = users.captures("/users/7/notes/a%20b%2Fc").unwrap();
        assert_eq!(captured, [("id", "7".to_owned()), ("note", "a b/c".to_owned())]);
        for other in
            ["/users/7/notes", "/users/7/notes/", "/users//notes/1", "/users/7/notes/1/", "/users/7/not/1"]
        {
            assert_eq!(users.captures(other), None, "{other}");
        }
        assert_eq!(users.captures("/users/%ff/notes/1"), None, "that is no UTF-8");
    }

    #[test]
    fn a_word_goes_before_a_name() {
        let (word, named) = (route("/users/me"), route("/users/{id}"));
        assert_eq!(word.order(&named), Ordering::Less);
        assert_eq!(named.order(&word), Ordering::Greater);
        assert!(!word.meets(&named) && named.meets(&route("/users/{name}")));
    }
}
