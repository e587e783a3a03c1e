//! Which operation a name means.

use crate::config::problem::did_you_mean;
use crate::error::CallFailure;
use chassis_abi::Code;
use chassis_abi::manifest::Manifest;
use std::collections::HashMap;

/// The operations of an instance by name.
#[derive(Debug)]
pub struct Names {
    by_name: HashMap<Box<str>, Meaning>,
    shown: Vec<(Box<str>, u32)>,
}

/// Why a name means no operation.
#[derive(Debug, PartialEq, Eq)]
pub enum NoOperation {
    /// There is none of that name.
    Unknown(String, Option<String>),
    /// Several contracts have it.
    Ambiguous(String, Vec<String>),
}

#[derive(Debug)]
enum Meaning {
    One(u32),
    Several(Vec<u32>),
}

impl Names {
    /// The names of a plugin's operations, as far as `contract` lets them be seen.
    pub fn new(manifest: &Manifest, contract: Option<&str>) -> Self {
        let seen = |of: Option<&str>| of.is_none() || contract.is_none() || of == contract;
        let mut by_name: HashMap<Box<str>, Meaning> = HashMap::new();
        let mut shown = Vec::new();
        for (index, operation) in (0..).zip(&manifest.operations) {
            let of = operation.contract.as_deref();
            if !seen(of) {
                continue;
            }
            by_name
                .entry(operation.name.as_str().into())
                .and_modify(|meaning| meaning.add(index))
                .or_insert(Meaning::One(index));
            if let Some(of) = of {
                by_name.insert(format!("{of}.{}", operation.name).into(), Meaning::One(index));
            }
        }
        for (index, operation) in (0..).zip(&manifest.operations) {
            match (by_name.get(operation.name.as_str()), operation.contract.as_deref()) {
                (Some(Meaning::One(only)), _) if *only == index => {
                    shown.push((operation.name.as_str().into(), index))
                }
                (Some(Meaning::Several(all)), Some(of)) if all.contains(&index) => {
                    shown.push((format!("{of}.{}", operation.name).into(), index));
                }
                _ => {}
            }
        }
        Self { by_name, shown }
    }

    /// The position of the operation that a name means.
    pub fn find(&self, name: &str) -> Result<u32, NoOperation> {
        match self.by_name.get(name) {
            Some(Meaning::One(index)) => Ok(*index),
            Some(Meaning::Several(all)) => {
                let choices = self.shown.iter().filter(|(_, index)| all.contains(index));
                Err(NoOperation::Ambiguous(
                    name.to_owned(),
                    choices.map(|(name, _)| name.to_string()).collect(),
                ))
            }
            None => {
                let advice = did_you_mean(name, self.shown.iter().map(|(name, _)| &**name));
                Err(NoOperation::Unknown(name.to_owned(), advice))
            }
        }
    }

    /// Every operation, by the shortest name that is clear.
    pub fn shown(&self) -> impl Iterator<Item = (&str, u32)> {
        self.shown.iter().map(|(name, index)| (&**name, *index))
    }
}

impl NoOperation {
    /// As the failure of a call.
    pub fn into_failure(self, instance: &str) -> CallFailure {
        match self {
            NoOperation::Unknown(name, advice) => {
                let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
                CallFailure::new(
                    Code::Unimplemented,
                    format!("the instance `{instance}` has no operation `{name}`{advice}"),
                )
            }
            NoOperation::Ambiguous(name, choices) => CallFailure::new(
                Code::InvalidArgument,
                format!("`{name}` of the instance `{instance}` can mean {}: say which", choices.join(" or ")),
            ),
        }
    }
}

impl Meaning {
    fn add(&mut self, index: u32) {
        match self {
            Meaning::One(first) => *self = Meaning::Several(vec![*first, index]),
            Meaning::Several(all) => all.push(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest() -> Manifest {
        let operation = |contract: Option<&str>, name: &str| {
            json!({"name": name, "contract": contract, "summary": "does", "effect": "read", "input": {}, "output": {},
                   "telemetry": {"kind": "internal", "operation": name}})
        };
        let operations = [
            operation(None, "health"),
            operation(Some("documents"), "insert"),
            operation(Some("relational"), "insert"),
            operation(Some("relational"), "query"),
        ];
        let document = json!({"name": "p", "version": "1.0.0", "description": "", "config": {},
                              "contracts": ["documents", "relational"], "operations": operations});
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn a_contract_narrows_what_is_seen() {
        let names = Names::new(&manifest(), Some("relational"));
        assert_eq!(names.find("insert"), Ok(2));
        assert_eq!(names.find("relational.insert"), Ok(2));
        assert_eq!(names.find("health"), Ok(0));
        assert!(matches!(names.find("documents.insert"), Err(NoOperation::Unknown(..))));
        assert_eq!(names.shown().collect::<Vec<_>>(), [("health", 0), ("insert", 2), ("query", 3)]);
    }

    #[test]
    fn without_a_contract_a_name_that_two_have_must_say_which() {
        let names = Names::new(&manifest(), None);
        assert_eq!(names.find("query"), Ok(3));
        assert_eq!(names.find("documents.insert"), Ok(1));
        let failure = names.find("insert").unwrap_err().into_failure("i");
        assert_eq!(failure.code(), Code::InvalidArgument);
        assert!(failure.error.message.contains("documents.insert or relational.insert"), "{failure}");
        let failure = names.find("qery").unwrap_err().into_failure("i");
        assert!(failure.error.message.contains("did you mean `query`?"), "{failure}");
    }
}
