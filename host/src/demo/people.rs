//! Who is made into a user. The domain is reserved for examples: nobody real is touched, and what is left of an earlier demo is known
//! by it.

use serde_json::{Value, json};

/// What all their addresses end with.
pub const DOMAIN: &str = "@demo.example";

/// A person.
pub struct Person {
    /// Begins the e-mail address, too.
    pub username: &'static str,
    /// The full name.
    pub full_name: &'static str,
    /// What is searched.
    pub bio: &'static str,
    /// A preference.
    pub theme: &'static str,
}

/// Those who can be made.
pub const PEOPLE: [Person; 6] = [
    person("ada", "Ada Lovelace", "Wrote the first program for the Analytical Engine.", "dark"),
    person("alan", "Alan Turing", "Asked whether machines can think.", "light"),
    person("grace", "Grace Hopper", "Made the first compiler and found a moth.", "dark"),
    person("edsger", "Edsger Dijkstra", "Found the shortest path over a cup of coffee.", "light"),
    person("barbara", "Barbara Liskov", "Says when one type may stand for another.", "dark"),
    person("katherine", "Katherine Johnson", "Computed the way to the Moon by hand.", "light"),
];

/// The one who is tried while a backend is down.
pub const LATECOMER: Person =
    person("margaret", "Margaret Hamilton", "Coined the words software engineering.", "dark");

/// The one who is tried while the host dies.
pub const ORPHAN: Person = person("radia", "Radia Perlman", "Taught bridges to span a tree.", "dark");

impl Person {
    /// The e-mail address.
    pub fn email(&self) -> String {
        format!("{}{DOMAIN}", self.username)
    }

    /// The input of `create-user`.
    pub fn input(&self) -> Value {
        json!({
            "email": self.email(),
            "username": self.username,
            "full_name": self.full_name,
            "bio": self.bio,
            "preferences": { "theme": self.theme, "language": "en" },
        })
    }
}

const fn person(
    username: &'static str,
    full_name: &'static str,
    bio: &'static str,
    theme: &'static str,
) -> Person {
    Person { username, full_name, bio, theme }
}
