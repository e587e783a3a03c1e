//! Users, each with an e-mail of its own.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// A user to be made.
pub struct User {
    pub email: String,
    pub username: String,
    pub full_name: String,
    pub bio: String,
    /// What the drivers write where a flow writes its run.
    pub run: String,
}

impl User {
    /// One that nobody has made.
    pub fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            email: format!("bench-{number}@example.org"),
            username: format!("bench-{number}"),
            full_name: format!("Bench Number {number}"),
            bio: "counts what others only feel".to_owned(),
            run: format!("00000000-0000-7000-8000-{number:012x}"),
        }
    }

    /// As create-user takes it.
    pub fn input(&self) -> Value {
        json!({
            "email": self.email, "username": self.username, "full_name": self.full_name, "bio": self.bio,
            "preferences": { "theme": "dark", "language": "en", "notifications": true },
        })
    }
}
