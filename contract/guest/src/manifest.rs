//! The manifest, made of a plugin's types and of its `plugin.toml`.

use crate::{Health, Operations, Plugin};
use chassis_abi::manifest::{Effect, Manifest, Operation, Permissions, Telemetry, TelemetryKind};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is known of an operation at its declaration.
pub struct Spec {
    contract: Option<&'static str>,
    kind: TelemetryKind,
    name: &'static str,
    summary: &'static str,
    input: fn() -> Value,
    output: fn() -> Value,
    item: Option<fn() -> Value>,
    /// Whether it changes anything.
    pub effect: Effect,
    /// Doing it twice is doing it once.
    pub idempotent: bool,
    /// With an idempotency key it is done once.
    pub keyed: bool,
    /// The operation that does many of these.
    pub batched_by: Option<&'static str>,
    /// Takes a raw attachment.
    pub raw_input: bool,
    /// Answers with a raw attachment.
    pub raw_output: bool,
    /// Takes a stream of items.
    pub upload: bool,
    /// Pointer to the collection, table, index, queue or path.
    pub target: Option<&'static str>,
    /// Pointer to a parameterised query text.
    pub query_text: Option<&'static str>,
    /// `messaging.operation.type`.
    pub operation_type: Option<&'static str>,
}

impl Spec {
    /// An operation without attributes.
    pub fn new(
        contract: Option<&'static str>,
        kind: TelemetryKind,
        name: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            contract,
            kind,
            name,
            summary: summary.trim(),
            input: empty,
            output: empty,
            item: None,
            effect: Effect::Write,
            idempotent: false,
            keyed: false,
            batched_by: None,
            raw_input: false,
            raw_output: false,
            upload: false,
            target: None,
            query_text: None,
            operation_type: None,
        }
    }

    /// The operation that every plugin has.
    pub(crate) fn health() -> Self {
        let mut spec = Self::new(None, TelemetryKind::Internal, "health", "Asks the server how it is.");
        spec.effect = Effect::Read;
        spec.idempotent = true;
        spec.typed::<crate::operations::Nothing, Health>()
    }

    /// Sets the types.
    #[must_use]
    pub fn typed<I: JsonSchema, O: JsonSchema>(mut self) -> Self {
        self.input = schema::<I>;
        self.output = schema::<O>;
        self
    }

    /// Sets the types of an operation that streams.
    #[must_use]
    pub fn streaming<I: JsonSchema, T: JsonSchema>(mut self) -> Self {
        self.input = schema::<I>;
        self.item = Some(schema::<T>);
        self
    }

    fn operation(&self, toml: &PluginToml) -> Operation {
        let mut said = toml.telemetry.get(self.contract.unwrap_or("own")).cloned().unwrap_or_default();
        said.attributes.extend(said.attributes_of.remove(self.name).unwrap_or_default());
        Operation {
            name: self.name.to_owned(),
            contract: self.contract.map(str::to_owned),
            summary: self.summary.to_owned(),
            effect: self.effect,
            idempotent: self.idempotent,
            keyed: self.keyed,
            batched_by: self.batched_by.map(str::to_owned),
            pipelined: toml.pipelined && self.batched_by.is_some(),
            raw_input: self.raw_input,
            raw_output: self.raw_output,
            upload: self.upload,
            input: (self.input)(),
            output: (self.output)(),
            item: self.item.map(|item| item()),
            telemetry: Telemetry {
                kind: self.kind,
                system: said.system,
                operation: said.operations.get(self.name).cloned().unwrap_or_else(|| self.name.to_owned()),
                operation_type: self.operation_type.map(str::to_owned),
                target: self.target.map(str::to_owned),
                query_text: self.query_text.map(str::to_owned),
                server: said.server,
                namespace: said.namespace,
                default_port: said.default_port,
                attributes: said.attributes,
            },
        }
    }
}

/// What an author writes in `plugin.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginToml {
    name: String,
    description: String,
    /// The driver sends concurrent calls together by itself.
    #[serde(default)]
    pipelined: bool,
    #[serde(default)]
    permissions: Permissions,
    #[serde(default)]
    telemetry: BTreeMap<String, TelemetryToml>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TelemetryToml {
    system: Option<String>,
    server: Option<String>,
    namespace: Vec<String>,
    default_port: Option<u16>,
    operations: BTreeMap<String, String>,
    attributes: BTreeMap<String, String>,
    /// The same for single operations.
    attributes_of: BTreeMap<String, BTreeMap<String, String>>,
}

/// The content of `manifest.json`.
///
/// # Panics
/// When `plugin.toml` cannot be read: it is called by tests only.
pub fn generate<P: Plugin>(plugin_toml: &str, version: &str) -> String {
    let toml: PluginToml = match toml::from_str(plugin_toml) {
        Ok(toml) => toml,
        Err(error) => panic!("plugin.toml: {error}"),
    };
    let specs = Operations::<P>::of().specs;
    let operations = specs.iter().map(|spec| spec.operation(&toml)).collect();
    let mut contracts: Vec<String> = Vec::new();
    for contract in specs.iter().filter_map(|spec| spec.contract) {
        if !contracts.iter().any(|known| known == contract) {
            contracts.push(contract.to_owned());
        }
    }
    let config = schema::<P::Config>();
    let mut secrets = Vec::new();
    find_secrets(&config, "", &mut secrets);
    let manifest = Manifest {
        name: toml.name,
        version: version.to_owned(),
        description: toml.description,
        contracts,
        config,
        secrets,
        permissions: toml.permissions,
        operations,
    };
    let mut text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
    text.push('\n');
    text
}

fn empty() -> Value {
    json!({ "type": "object" })
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("title");
    }
    schema
}

fn find_secrets(schema: &Value, at: &str, found: &mut Vec<String>) {
    if schema.get("writeOnly") == Some(&Value::Bool(true)) {
        found.push(at.to_owned());
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        find_secrets(property, &format!("{at}/{name}"), found);
    }
    for alternative in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        find_secrets(alternative, at, found);
    }
}
