//! What a single caller wants otherwise than the configuration has it: a step of a flow says so of its own call.

use crate::config::problem::did_you_mean;
use crate::config::units::Span;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Where one caller's call differs from what is configured. What is not said stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The longest that the call may take, with everything.
    pub deadline: Option<Span>,
    /// The longest that one try may take.
    pub attempt_timeout: Option<Span>,
    /// The most tries after the first one.
    pub retries: Option<u32>,
}

impl Overrides {
    /// The fields of a table that says them.
    pub const FIELDS: &[&str] = &["deadline", "attempt_timeout", "retries"];
    /// More tries than these only keep a backend down.
    pub const MOST_RETRIES: u32 = 10;

    /// Reads one field of such a table (`policy = { deadline = "2s" }`).
    ///
    /// # Errors
    /// What is wrong with this field; whoever reads the table knows where it stands.
    pub fn set(&mut self, field: &str, value: &Value) -> Result<(), String> {
        match field {
            "deadline" => self.deadline = Some(time(value)?),
            "attempt_timeout" => self.attempt_timeout = Some(time(value)?),
            "retries" => {
                let retries = read::<u32>(value).ok().filter(|retries| *retries <= Self::MOST_RETRIES);
                self.retries = Some(
                    retries.ok_or_else(|| format!("must be a number from 0 to {}", Self::MOST_RETRIES))?,
                );
            }
            _ => {
                let advice = did_you_mean(field, Self::FIELDS.iter().copied());
                return Err(format!("there is no policy `{field}` here; {}", advice.unwrap_or_default()));
            }
        }
        Ok(())
    }
}

fn time(value: &Value) -> Result<Span, String> {
    match read::<Span>(value) {
        Ok(Span(time)) if time.is_zero() => Err("must be longer than nothing".to_owned()),
        Ok(time) => Ok(time),
        Err(_) => Err("must be a time such as \"250ms\" or \"10s\", or a number of milliseconds".to_owned()),
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_read_one_by_one_and_told_apart() {
        let mut overrides = Overrides::default();
        overrides.set("deadline", &json!("2s")).unwrap();
        overrides.set("attempt_timeout", &json!(250)).unwrap();
        overrides.set("retries", &json!(0)).unwrap();
        let wanted = Overrides {
            deadline: Some(Span::secs(2)),
            attempt_timeout: Some(Span::millis(250)),
            retries: Some(0),
        };
        assert_eq!(overrides, wanted);
        for (field, value, told) in [
            ("deadline", json!("soon"), "a time such as"),
            ("deadline", json!(0), "longer than nothing"),
            ("retries", json!(11), "from 0 to 10"),
            ("retries", json!(-1), "from 0 to 10"),
            ("retrys", json!(1), "did you mean `retries`?"),
        ] {
            let message = overrides.set(field, &value).unwrap_err();
            assert!(message.contains(told), "{field}: {message}");
        }
        assert_eq!(overrides, wanted);
    }
}
