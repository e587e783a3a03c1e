//! What is known of an operation before any call: attributes, where to read others, metric handles.

use super::Telemetry;
use super::address::{Address, redact};
use super::calls::Calls;
use super::database::Database;
use super::failure_log::FailureLog;
use super::http::Http;
use super::messaging::Messaging;
use super::metrics::label;
use super::pointer::Pointer;
use super::recording::Recording;
use crate::error::CallFailure;
use ::metrics::Label;
use chassis_abi::Code;
use chassis_abi::manifest::{Manifest, Operation, Telemetry as Declared, TelemetryKind};
use opentelemetry::trace::{SpanContext, SpanKind};
use opentelemetry::{Key, KeyValue};
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;
use url::Url;

/// An operation of an instance, as telemetry sees it.
pub(super) struct Shape {
    pub telemetry: Telemetry,
    pub span_kind: SpanKind,
    /// Of all of its spans.
    pub attributes: Arc<[KeyValue]>,
    pub inputs: Vec<(Key, Template)>,
    pub outputs: Vec<(Key, Pointer)>,
    pub kind: Kind,
    pub calls: Calls,
    pub operation: Box<str>,
    pub failures: Arc<FailureLog>,
}

/// By which convention the operation is reported.
pub(super) enum Kind {
    Database(Box<Database>),
    Messaging(Box<Messaging>),
    Http(Http),
    Internal(Arc<str>),
}

/// How a call ended.
#[derive(Clone, Copy)]
pub(super) enum Outcome<'a> {
    /// With this output.
    Ok(&'a [u8]),
    /// The plugin or its server failed.
    Error(&'a CallFailure),
    /// A policy refused it; nothing was sent.
    Refused(&'a CallFailure),
    /// Its caller gave it up.
    Cancelled,
}

/// What the conventions have in common: where the server is, what it is called.
pub(super) struct Common<'a> {
    pub instance: &'a str,
    pub declared: &'a Declared,
    pub config: &'a Value,
    /// Pointers to what the configuration keeps secret.
    pub secrets: &'a [String],
    pub address: Option<Address>,
    pub target: Option<Target>,
}

/// Where the name of a table, collection, index or queue stands.
pub(super) struct Target {
    pointer: Pointer,
    /// In each of the `items`: of a batch it is told only if all agree.
    in_items: bool,
}

/// An attribute's value: text with `{server}`, `{target}` and `{/input/…}` in it, or one value of the input as it is.
pub(super) enum Template {
    Value(Pointer),
    Text(Vec<Piece>),
}

pub(super) enum Piece {
    Text(String),
    Server,
    Target,
    Input(Pointer),
}

impl Shape {
    pub fn new(
        telemetry: &Telemetry,
        manifest: &Manifest,
        op: &Operation,
        instance: &str,
        config: &Value,
    ) -> Self {
        let declared = &op.telemetry;
        let places = declared.server.as_deref().unwrap_or_default();
        let (address, server) = Address::configured(config, places, declared.default_port);
        let common = Common {
            instance,
            declared,
            config,
            secrets: &manifest.secrets,
            address,
            target: Target::of(manifest, op),
        };
        let mut attributes = vec![
            KeyValue::new("chassis.plugin", Arc::<str>::from(&*manifest.name)),
            KeyValue::new("chassis.instance", Arc::<str>::from(instance)),
            KeyValue::new("chassis.operation", Arc::<str>::from(&*op.name)),
        ];
        let base = server.and_then(|text| Url::parse(text).ok());
        let shown = base.clone().map(|url| redact(url).trim_end_matches('/').to_owned());
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for (name, value) in &declared.attributes {
            let key = Key::from(Arc::<str>::from(&**name));
            if let Some(pointer) = value.strip_prefix("/output") {
                outputs.push((key, Pointer::new(pointer)));
            } else if let Some(pointer) = value.strip_prefix("/input") {
                inputs.push((key, Template::Value(Pointer::new(pointer))));
            } else if value.contains('{') {
                inputs.push((key, Template::Text(Piece::parse(value, shown.as_deref()))));
            } else if name != "db.namespace" {
                attributes.push(KeyValue::new(key, Arc::<str>::from(&**value)));
            }
        }
        let metrics = telemetry.metrics();
        let kind = match declared.kind {
            TelemetryKind::Database => {
                Kind::Database(Box::new(Database::new(metrics, common, &mut attributes)))
            }
            TelemetryKind::Messaging => {
                Kind::Messaging(Box::new(Messaging::new(metrics, common, &mut attributes)))
            }
            TelemetryKind::Http => Kind::Http(Http::new(metrics, common, base, &mut attributes)),
            TelemetryKind::Internal => Kind::Internal(format!("{} {}", manifest.name, op.name).into()),
        };
        let span_kind = match (declared.kind, declared.operation_type.as_deref()) {
            (TelemetryKind::Internal, _) => SpanKind::Internal,
            (TelemetryKind::Messaging, Some("send")) => SpanKind::Producer,
            (TelemetryKind::Messaging, Some("process")) => SpanKind::Consumer,
            _ => SpanKind::Client,
        };
        let calls = Calls::new(telemetry, &manifest.name, instance, &op.name);
        Self {
            telemetry: telemetry.clone(),
            span_kind,
            attributes: attributes.into(),
            inputs,
            outputs,
            kind,
            calls,
            operation: op.name.as_str().into(),
            failures: telemetry.failures(instance),
        }
    }

    /// What a recorded call says of itself from the start.
    pub fn record(&self, parent: &SpanContext, input: &[u8]) -> Box<Recording> {
        let mut recording = Recording::new("", self.span_kind.clone(), parent, self.attributes.clone());
        let target = match &self.kind {
            Kind::Database(database) => database.describe(&mut recording, input),
            Kind::Messaging(messaging) => messaging.describe(&mut recording, input),
            Kind::Http(http) => http.describe(&mut recording, input),
            Kind::Internal(name) => {
                recording.name = name.clone().into();
                None
            }
        };
        for (key, template) in &self.inputs {
            if let Some(value) = template.read(input, target.as_deref()) {
                recording.set(KeyValue::new(key.clone(), value));
            }
        }
        recording
    }
}

impl Shape {
    /// What a recorded call says of how it ended.
    pub fn conclude(&self, recording: &mut Recording, outcome: Outcome<'_>) {
        recording.set(KeyValue::new("chassis.outcome", outcome.name()));
        match outcome {
            Outcome::Ok(output) => {
                for (key, pointer) in &self.outputs {
                    if let Some(value) = pointer.read(output) {
                        recording.set(KeyValue::new(key.clone(), value.into_value()));
                    }
                }
            }
            Outcome::Error(failure) => {
                let status = failure.error.status.as_deref();
                let error_type = status.unwrap_or(failure.code().as_str()).to_owned();
                recording.fail(error_type, failure.error.message.clone());
            }
            Outcome::Refused(failure) => {
                let policy = failure.refused_by.unwrap_or_default();
                recording
                    .fail(failure.code().as_str(), format!("refused by {policy}: {}", failure.error.message));
            }
            // The caller's doing, hence no error of the server's: `chassis.outcome` tells.
            Outcome::Cancelled => {}
        }
        match &self.kind {
            Kind::Database(database) => database.conclude(recording, outcome),
            Kind::Messaging(messaging) => messaging.conclude(recording, outcome),
            Kind::Http(http) => http.conclude(recording, outcome),
            Kind::Internal(_) => {}
        }
    }
}

impl<'a> Common<'a> {
    /// The instance, beside the conventions' own labels: by them alone two of the same server could not be told apart.
    pub fn labels(&self) -> Vec<Label> {
        vec![label("name", self.instance)]
    }

    /// `server.address`, and `server.port` unless it is the usual one and `always` does not want it.
    pub fn server(&self, always: bool, attributes: &mut Vec<KeyValue>, labels: &mut Vec<Label>) {
        let Some(address) = &self.address else { return };
        attributes.push(KeyValue::new("server.address", Arc::<str>::from(&*address.host)));
        labels.push(label("server_address", &address.host));
        if let Some(port) = address.port.filter(|port| always || Some(*port) != self.declared.default_port) {
            attributes.push(KeyValue::new("server.port", i64::from(port)));
            labels.push(label("server_port", &port.to_string()));
        }
    }

    /// A text that is the same for all calls, as attribute and label.
    pub fn text(
        &self,
        name: (&'static str, &'static str),
        value: &str,
        attributes: &mut Vec<KeyValue>,
        labels: &mut Vec<Label>,
    ) {
        attributes.push(KeyValue::new(name.0, Arc::<str>::from(value)));
        labels.push(label(name.1, value));
    }
}

impl Target {
    fn of(manifest: &Manifest, op: &Operation) -> Option<Self> {
        if let Some(target) = &op.telemetry.target {
            return Some(Self { pointer: Pointer::new(target), in_items: false });
        }
        let single = |single: &&Operation| {
            single.contract == op.contract && single.batched_by.as_deref() == Some(op.name.as_str())
        };
        let target = manifest.operations.iter().find(single)?.telemetry.target.as_ref()?;
        Some(Self { pointer: Pointer::new(target), in_items: true })
    }

    /// The name, if there is one.
    pub fn read(&self, input: &[u8]) -> Option<String> {
        if !self.in_items {
            return self.pointer.text(input).map(|text| text.into_owned());
        }
        let items = items(input);
        let first = self.pointer.text(items.first()?.get().as_bytes())?.into_owned();
        let same =
            |item: &&RawValue| self.pointer.text(item.get().as_bytes()).is_some_and(|text| text == first);
        items.iter().all(same).then_some(first)
    }

    pub fn in_items(&self) -> bool {
        self.in_items
    }
}

impl<'a> Outcome<'a> {
    /// What the result of a call is.
    pub fn of(result: Result<&'a [u8], &'a CallFailure>) -> Self {
        match result {
            Ok(output) => Self::Ok(output),
            Err(failure) if failure.refused_by.is_some() => Self::Refused(failure),
            Err(failure) if failure.code() == Code::Cancelled => Self::Cancelled,
            Err(failure) => Self::Error(failure),
        }
    }

    /// `chassis.outcome`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Error(_) => "error",
            Self::Refused(_) => "refused",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Template {
    fn read(&self, input: &[u8], target: Option<&str>) -> Option<opentelemetry::Value> {
        let pieces = match self {
            Self::Value(pointer) => return Some(pointer.read(input)?.into_value()),
            Self::Text(pieces) => pieces,
        };
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Target => text.push_str(target?),
                Piece::Input(pointer) => text.push_str(&pointer.read(input)?.to_string()),
                Piece::Server => return None,
            }
        }
        Some(text.into())
    }
}

impl Piece {
    fn parse(template: &str, server: Option<&str>) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some((before, (name, after))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            pieces.push(Self::Text(before.to_owned()));
            pieces.push(match (name, server) {
                ("server", Some(server)) => Self::Text(server.to_owned()),
                ("server", None) => Self::Server,
                ("target", _) => Self::Target,
                (other, _) => Self::Input(Pointer::new(other.strip_prefix("/input").unwrap_or(other))),
            });
            rest = after;
        }
        pieces.push(Self::Text(rest.to_owned()));
        pieces
    }
}

/// The items of a batch; none if the input is not one.
pub(super) fn items(input: &[u8]) -> Vec<&RawValue> {
    #[derive(serde::Deserialize)]
    struct Batch<'a> {
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    serde_json::from_slice::<Batch<'_>>(input).map(|batch| batch.items).unwrap_or_default()
}
