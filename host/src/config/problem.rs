//! What is wrong with a configuration: where, which field, and the nearest right name.

use super::tree::Origin;
use serde::Serialize;
use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// File and line, or the variable it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Origin>,
    /// The field, as a dotted path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// All that is wrong with a configuration.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    /// A problem with no place yet.
    pub fn new(message: impl Into<String>) -> Self {
        Self { at: None, field: String::new(), message: message.into(), advice: None }
    }

    /// In this place.
    pub fn at(self, origin: &Origin) -> Self {
        Self { at: Some(origin.clone()), ..self }
    }

    /// Of this field.
    pub fn field(self, field: impl Into<String>) -> Self {
        Self { field: field.into(), ..self }
    }

    /// What to do about it.
    pub fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// Names the nearest of the names that would have been right, or all of them when none is near.
    pub fn known<'a>(self, wrong: &str, right: impl IntoIterator<Item = &'a str>) -> Self {
        match did_you_mean(wrong, right) {
            Some(advice) => self.advice(advice),
            None => self,
        }
    }
}

impl Problems {
    /// Nothing if there is no problem, else itself.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
impl std::error::Error for Problems {}

/// A sentence that names the nearest right name, or lists them when none is near and they are few.
pub fn did_you_mean<'a>(wrong: &str, right: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let right: Vec<&str> = right.into_iter().collect();
    let nearest = right
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase()), *name))
        .min_by_key(|(distance, name)| (*distance, *name));
    match nearest {
        // A third of the letters wrong is still a slip; more is another word.
        Some((distance, name)) if distance <= (name.len().max(wrong.len()) / 3).max(1) => {
            Some(format!("did you mean `{name}`?"))
        }
        Some(_) if right.len() <= 24 => Some(format!("one of: {}", right.join(", "))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn a_slip_is_corrected_and_another_word_is_answered_with_the_list() {
        assert_eq!(did_you_mean("lisen", ["listen", "limit"]).as_deref(), Some("did you mean `listen`?"));
        assert_eq!(did_you_mean("colour", ["listen", "limit"]).as_deref(), Some("one of: listen, limit"));
        assert_eq!(did_you_mean("colour", []), None);
    }
}
