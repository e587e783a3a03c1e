//! `db.client.*`: databases, caches and search engines.

use super::failure::ByCode;
use super::metrics::{Metrics, label};
use super::pointer::Pointer;
use super::recording::Recording;
use super::shape::{Common, Outcome, Target};
use super::sql;
use ::metrics::{Histogram, Label};
use opentelemetry::KeyValue;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const DURATION: &str = "db_client_operation_duration_seconds";

/// An operation of a database.
pub(super) struct Database {
    operation: Arc<str>,
    target: Option<Target>,
    query_text: Option<Pointer>,
    labels: Vec<Label>,
    ok: Histogram,
    failed: ByCode<Histogram>,
}

impl Database {
    pub fn new(metrics: &Metrics, common: Common<'_>, attributes: &mut Vec<KeyValue>) -> Self {
        let declared = common.declared;
        let mut labels = common.labels();
        if let Some(system) = &declared.system {
            common.text(("db.system.name", "db_system_name"), system, attributes, &mut labels);
        }
        common.text(("db.operation.name", "db_operation_name"), &declared.operation, attributes, &mut labels);
        let fallback = || declared.attributes.get("db.namespace").cloned();
        if let Some(namespace) =
            namespace(&declared.namespace, common.config, common.secrets).or_else(fallback)
        {
            common.text(("db.namespace", "db_namespace"), &namespace, attributes, &mut labels);
        }
        common.server(false, attributes, &mut labels);
        Self {
            operation: declared.operation.as_str().into(),
            target: common.target,
            query_text: declared.query_text.as_deref().map(Pointer::new),
            ok: metrics.histogram(DURATION, labels.clone()),
            failed: ByCode::new(),
            labels,
        }
    }

    /// Names the span: by the summary of the statement, else by operation and target.
    pub fn describe(&self, recording: &mut Recording, input: &[u8]) -> Option<String> {
        let target = self.target.as_ref().and_then(|target| target.read(input));
        let statement = self.query_text.as_ref().and_then(|pointer| pointer.text(input));
        if let Some(statement) = &statement {
            recording.attributes.push(KeyValue::new("db.query.text", sql::text(statement)));
        }
        if let Some(summary) = statement.as_deref().and_then(sql::summary) {
            recording.name = summary.clone().into();
            recording.attributes.push(KeyValue::new("db.query.summary", summary));
            return target;
        }
        recording.name = match &target {
            Some(target) => format!("{} {target}", self.operation).into(),
            None => self.operation.clone().into(),
        };
        if let Some(target) = &target {
            recording.attributes.push(KeyValue::new("db.collection.name", target.clone()));
        }
        target
    }

    pub fn conclude(&self, recording: &mut Recording, outcome: Outcome<'_>) {
        if let Outcome::Error(failure) = outcome
            && let Some(status) = &failure.error.status
        {
            recording.set(KeyValue::new("db.response.status_code", status.clone()));
        }
    }

    pub fn measure(&self, metrics: &Metrics, outcome: Outcome<'_>, elapsed: Duration) {
        let handle = match outcome {
            Outcome::Ok(_) => &self.ok,
            Outcome::Error(failure) => self.failed.get(failure.code(), |code| {
                let mut labels = self.labels.clone();
                labels.push(label("error_type", code));
                metrics.histogram(DURATION, labels)
            }),
            // Nothing was sent, or nobody knows how long it would have taken.
            Outcome::Refused(_) | Outcome::Cancelled => return,
        };
        handle.record(elapsed.as_secs_f64());
    }
}

/// The values at these pointers, joined with `|`: of a URL its path (`postgres://host/shop` is `shop`), and of another secret nothing.
fn namespace(pointers: &[String], config: &Value, secrets: &[String]) -> Option<String> {
    let part = |pointer: &str| {
        let text = match config.pointer(pointer)? {
            Value::String(text) => match text.split_once("://") {
                Some((_, rest)) => rest.split(['?', '#']).next()?.split_once('/')?.1.to_owned(),
                None if secrets.iter().any(|secret| secret == pointer) => return None,
                None => text.clone(),
            },
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        Some(text).filter(|text| !text.is_empty())
    };
    let parts: Vec<String> =
        pointers.iter().filter_map(|either| either.split(" or ").find_map(part)).collect();
    (!parts.is_empty()).then(|| parts.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_namespace_is_joined_from_the_configuration() {
        let config = json!({
            "url": "postgres://u:p@h:5432/microservices_db?sslmode=disable", "schema": "public", "database": 1,
            "bare": "redis://h:6379", "key": "hunter2", "none": null,
        });
        let of = |pointers: &[&str]| {
            let pointers: Vec<String> = pointers.iter().map(ToString::to_string).collect();
            namespace(&pointers, &config, &["/url".to_owned(), "/key".to_owned()])
        };
        assert_eq!(of(&["/url", "/schema"]).as_deref(), Some("microservices_db|public"));
        assert_eq!(of(&["/database or /url"]).as_deref(), Some("1"));
        assert_eq!(of(&["/none or /missing or /url"]).as_deref(), Some("microservices_db"));
        assert_eq!(of(&["/missing", "/bare", "/key"]), None);
    }
}
