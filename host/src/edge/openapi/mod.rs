//! The description of the HTTP edge (OpenAPI 3.1), made from manifests and flows: what is loaded is what is described.

mod fixed;
mod schema;

use crate::flow::trigger::{Kind, Trigger};
use chassis_abi::manifest::{Effect, Manifest, Operation};
use schema::lift;
use serde_json::{Map, Value, json};

/// An instance, as it is described.
pub struct InstanceDescription<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its plugin.
    pub manifest: &'a Manifest,
    /// Its operations, each under the name by which it is called.
    pub operations: Vec<(String, &'a Operation)>,
}

/// A flow, as it is described.
pub struct FlowDescription<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// JSON schema of its input.
    pub input: Value,
    /// What starts it beside its own route.
    pub triggers: &'a [Trigger],
}

/// The whole document.
pub fn document(instances: &[InstanceDescription<'_>], flows: &[FlowDescription<'_>]) -> Value {
    let mut schemas = fixed::schemas();
    let mut paths = Map::new();
    let mut tags = vec![
        json!({ "name": "flows", "description": "Business operations: steps over several instances, undone if one fails." }),
    ];
    for flow in flows {
        paths.insert(
            format!("/v1/flows/{}", flow.name),
            json!({ "post": flow_operation(&mut schemas, flow) }),
        );
        for trigger in flow.triggers {
            triggered(&mut paths, &mut schemas, flow, trigger);
        }
    }
    for instance in instances {
        let Manifest { name, version, description, .. } = instance.manifest;
        tags.push(json!({ "name": instance.name, "description": format!("{description} (plugin {name} {version})") }));
        for (name, operation) in &instance.operations {
            let described = instance_operation(&mut schemas, instance, name, operation);
            paths.insert(format!("/v1/instances/{}/{name}", instance.name), json!({ "post": described }));
        }
    }
    tags.push(json!({ "name": "host", "description": "The host itself: what is loaded, how it is." }));
    paths.extend(fixed::paths());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Chassis",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Backends and business operations over HTTP.",
            "description": fixed::INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": fixed::parameters(),
            "headers": fixed::headers(),
            "responses": fixed::responses(),
        },
    })
}

fn flow_operation(schemas: &mut Map<String, Value>, flow: &FlowDescription<'_>) -> Value {
    let input = lift(schemas, &format!("flow.{}.input", flow.name), &flow.input);
    let mut parameters = fixed::call_parameters();
    parameters.push(json!({ "$ref": "#/components/parameters/prefer" }));
    let mut headers = header("X-Chassis-Run", "run");
    headers.extend(header("Idempotent-Replayed", "replayed"));
    let mut responses =
        responses("What the flow answers.", json!({ "application/json": { "schema": {} } }), headers);
    responses["202"] = json!({ "description": "The run is durable and goes on (`Prefer: respond-async`).", "headers": header("X-Chassis-Run", "run") });
    responses["422"] = json!({ "$ref": "#/components/responses/problem" });
    json!({
        "operationId": format!("flow.{}", flow.name),
        "tags": ["flows"],
        "summary": flow.description,
        "parameters": parameters,
        "requestBody": { "required": true, "content": { "application/json": { "schema": input } } },
        "responses": responses,
    })
}

/// A path of a flow's own.
fn triggered(
    paths: &mut Map<String, Value>,
    schemas: &mut Map<String, Value>,
    flow: &FlowDescription<'_>,
    trigger: &Trigger,
) {
    let Kind::Http(route) = &trigger.kind else { return };
    let mut described = flow_operation(schemas, flow);
    described["operationId"] = json!(format!("flow.{}.{} {}", flow.name, route.method, route.path));
    if let Some(parameters) = described["parameters"].as_array_mut() {
        let named =
            |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
        parameters.splice(0..0, route.parameters().map(named));
    }
    if trigger.input.is_some() {
        // What of the body goes into the input is in the flow's file.
        described["requestBody"] = json!({ "content": { "application/json": { "schema": {} } } });
    }
    let path = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
    path[route.method.to_ascii_lowercase()] = described;
}

fn instance_operation(
    schemas: &mut Map<String, Value>,
    instance: &InstanceDescription<'_>,
    name: &str,
    operation: &Operation,
) -> Value {
    // Instances of one plugin share its schemas; a contract keeps equal names of one plugin apart.
    let plugin = &instance.manifest.name;
    let prefix = match &operation.contract {
        Some(contract) => format!("{plugin}.{contract}.{}", operation.name),
        None => format!("{plugin}.{}", operation.name),
    };
    let input = lift(schemas, &format!("{prefix}.input"), &operation.input);
    let output = lift(schemas, &format!("{prefix}.output"), &operation.output);
    let item = operation.item.as_ref().map(|item| lift(schemas, &format!("{prefix}.item"), item));

    let mut parameters = fixed::call_parameters();
    if operation.raw_input || operation.upload {
        parameters.push(json!({ "$ref": "#/components/parameters/input" }));
    }
    let mut described = json!({
        "operationId": format!("{}.{name}", instance.name),
        "tags": [instance.name],
        "summary": operation.summary,
        "description": description(operation),
        "parameters": parameters,
        "requestBody": request_body(operation, &input),
        "responses": success(operation, &output, item.as_ref()),
    });
    described["x-chassis"] = json!({
        "plugin": plugin,
        "contract": operation.contract,
        "effect": operation.effect,
        "idempotent": operation.idempotent,
        "keyed": operation.keyed,
        "batched_by": operation.batched_by,
    });
    described
}

fn request_body(operation: &Operation, input: &Value) -> Value {
    if operation.upload {
        return json!({
            "required": true,
            "description": "Items, one JSON value a line; the input itself goes into the header.",
            "content": { "application/x-ndjson": { "schema": {} } },
        });
    }
    let mut content = json!({ "application/json": { "schema": input } });
    if operation.raw_input {
        content["application/octet-stream"] = json!({ "schema": {} });
    }
    json!({ "required": true, "content": content })
}

fn success(operation: &Operation, output: &Value, item: Option<&Value>) -> Value {
    if let Some(item) = item {
        let line = json!({ "oneOf": [
            { "type": "object", "required": ["item"], "properties": { "item": item, "raw": fixed::base64() } },
            { "type": "object", "required": ["end"], "properties": { "end": { "const": true } } },
            { "type": "object", "required": ["error"], "properties": { "error": schema::reference("Problem") } },
        ] });
        let content = json!({ "application/x-ndjson": { "schema": line } });
        return responses(
            "Items, one a line, as fast as they are read. The last line is `end` or `error`.",
            content,
            Map::new(),
        );
    }
    let json_content = json!({ "schema": output });
    if operation.raw_output {
        let content =
            json!({ "application/octet-stream": { "schema": {} }, "application/json": json_content });
        let header = header("X-Chassis-Output", "output");
        return responses("The raw attachment, the output beside it in a header.", content, header);
    }
    responses("The output.", json!({ "application/json": json_content }), Map::new())
}

fn header(name: &str, component: &str) -> Map<String, Value> {
    let reference = json!({ "$ref": format!("#/components/headers/{component}") });
    Map::from_iter([(name.to_owned(), reference)])
}

fn responses(description: &str, content: Value, headers: Map<String, Value>) -> Value {
    let mut all = header("X-Trace-Id", "trace_id");
    all.extend(headers);
    json!({
        "200": { "description": description, "headers": all, "content": content },
        "default": { "$ref": "#/components/responses/problem" },
    })
}

fn description(operation: &Operation) -> String {
    let mut sentences = vec![match operation.effect {
        Effect::Read => "Only reads.".to_owned(),
        Effect::Write => "Changes the backend.".to_owned(),
    }];
    if operation.idempotent {
        sentences.push("Doing it twice is the same as doing it once.".to_owned());
    } else if operation.keyed {
        sentences.push("With an `Idempotency-Key` it is done once, however often it is sent.".to_owned());
    }
    if let Some(contract) = &operation.contract {
        sentences.push(format!("Contract `{contract}`."));
    }
    if let Some(batch) = &operation.batched_by {
        sentences.push(format!("`{batch}` does many of these at once."));
    }
    sentences.join(" ")
}
