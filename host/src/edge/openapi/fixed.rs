//! The part of the description that is the same on every host.

use super::schema::reference;
use chassis_abi::Code;
use serde_json::{Map, Value, json};

/// What stands at the top.
pub const INTRODUCTION: &str = "Every operation of every instance is a POST with its input as JSON, and so is every flow. \
    Errors are problem documents (RFC 9457) with a canonical `code`. Each answer names its trace in `X-Trace-Id`.";

/// Headers that every call takes, as references.
pub fn call_parameters() -> Vec<Value> {
    ["timeout", "idempotency_key", "tenant", "traceparent", "tracestate"]
        .map(|name| json!({ "$ref": format!("#/components/parameters/{name}") }))
        .to_vec()
}

/// Headers of requests.
pub fn parameters() -> Value {
    let header = |name: &str, description: &str, example: &str| json!({ "name": name, "in": "header", "description": description, "schema": { "type": "string" }, "example": example });
    json!({
        "timeout": header("X-Request-Timeout", "How long you wait, as `250ms`, `2s` or `1m`. Handed down to the backend; past it the call is cancelled.", "2s"),
        "idempotency_key": header("Idempotency-Key", "Under which a repeated call does not take effect twice: a flow answers what came of the first one, and refuses another input (422). 1 to 255 bytes.", "order-4711"),
        "tenant": header("X-Tenant", "On whose behalf. 1 to 255 bytes.", "acme"),
        "traceparent": header("traceparent", "Your span (W3C Trace Context).", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        "tracestate": header("tracestate", "Your tracing system's state (W3C Trace Context).", "vendor=1"),
        "prefer": header("Prefer", "`respond-async`: answer 202 as soon as the run is durable, with `Location`.", "respond-async"),
        "input": header("X-Chassis-Input", "The input as JSON, when the body is a raw attachment or a stream of items. Anything beyond ASCII as `\\uXXXX`.", "{\"key\":\"a\"}"),
    })
}

/// Headers of answers.
pub fn headers() -> Value {
    json!({
        "trace_id": { "description": "The trace of this request; see `/v1/traces/{id}`.", "schema": { "type": "string", "pattern": "^[0-9a-f]{32}$" } },
        "output": { "description": "The output as JSON, beside a raw attachment.", "schema": { "type": "string" } },
        "run": { "description": "The id of the run; see `/v1/runs/{id}`.", "schema": { "type": "string" } },
        "replayed": { "description": "`true` when the key was sent before: this is what came of the first run.", "schema": { "type": "string" } },
        "retry_after": { "description": "Seconds to wait before another try.", "schema": { "type": "integer", "minimum": 0 } },
    })
}

/// Answers that many operations share.
pub fn responses() -> Value {
    json!({ "problem": {
        "description": "What went wrong (RFC 9457).",
        "headers": {
            "X-Trace-Id": { "$ref": "#/components/headers/trace_id" },
            "Retry-After": { "$ref": "#/components/headers/retry_after" },
        },
        "content": { "application/problem+json": { "schema": reference("Problem") } },
    } })
}

/// Schemas that belong to no manifest.
pub fn schemas() -> Map<String, Value> {
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let text = |description: &str| json!({ "type": "string", "description": description });
    let problem = json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "instance", "code", "retryable", "maybe_applied", "trace_id"],
        "properties": {
            "type": text("Where the code is explained."),
            "title": text("What the code means."),
            "status": { "type": "integer", "description": "The HTTP status." },
            "detail": text("What happened; does not repeat its causes."),
            "instance": text("The trace of this occurrence."),
            "code": { "enum": codes, "description": "The canonical code (google.rpc.Code)." },
            "retryable": { "type": "boolean", "description": "The same request may succeed later." },
            "maybe_applied": { "type": "boolean", "description": "The effect may have happened all the same." },
            "causes": { "type": "array", "items": { "type": "string" }, "description": "What led to it, outermost first." },
            "field": text("The input field or header at fault."),
            "policy": text("The policy that refused the call: nothing was sent."),
            "backend_status": text("The backend's own code, such as an SQLSTATE."),
            "retry_after": { "type": "number", "description": "Seconds to wait before another try." },
            "trace_id": text("The trace of this request."),
            "nearest": text("The valid name nearest to the one that is not known."),
            "limit": { "type": "integer", "description": "The limit in bytes that the body is over." },
            "run": { "type": "object", "description": "The run of a flow that failed: its id, state, failed step, and how each step ended." },
        },
    });
    Map::from_iter([("Problem".to_owned(), problem)])
}

/// Routes of the host itself.
pub fn paths() -> Map<String, Value> {
    let get = |id: &str, summary: &str, media: &str, failing: Value| {
        let mut responses = json!({ "200": {
            "description": summary,
            "headers": { "X-Trace-Id": { "$ref": "#/components/headers/trace_id" } },
            "content": { media: { "schema": {} } },
        } });
        for (status, response) in failing.as_object().into_iter().flatten() {
            responses[status] = response.clone();
        }
        json!({ "get": { "operationId": format!("host.{id}"), "tags": ["host"], "summary": summary, "responses": responses } })
    };
    let problem = || json!({ "$ref": "#/components/responses/problem" });
    let json_type = "application/json";
    let mut trace =
        get("trace", "A recent trace: its spans, oldest first.", json_type, json!({ "404": problem() }));
    trace["get"]["parameters"] = json!([{
        "name": "id", "in": "path", "required": true, "description": "The trace's id, or `last`: of what did more than to look.",
        "schema": { "type": "string", "pattern": "^([0-9a-f]{32}|last)$" },
    }]);
    let query = |name: &str, description: &str| json!({ "name": name, "in": "query", "description": description, "schema": { "type": "string" } });
    let run_id = || json!({ "name": "id", "in": "path", "required": true, "description": "The run's id.", "schema": { "type": "string" } });
    let mut runs = get("runs", "Runs of flows, newest first.", json_type, json!({ "400": problem() }));
    runs["get"]["parameters"] = json!([
        query("flow", "Of this flow only."),
        query(
            "state",
            "Only those that are `running`, `undoing`, `completed`, `undone`, `stuck` or `cancelled`."
        ),
        query("since", "Only those that were started so long ago or later: `15m`, `2h`, `1d`."),
        query("before", "The `next` of the page before."),
        query("limit", "At most so many, 50 unless said, 500 at most."),
    ]);
    let mut run = get(
        "run",
        "A run: each step with its time, tries, state and error.",
        json_type,
        json!({ "404": problem() }),
    );
    run["get"]["parameters"] = json!([run_id()]);
    let act = |id: &str, summary: &str, field: Option<&str>| {
        let mut item =
            get(&format!("run.{id}"), summary, json_type, json!({ "404": problem(), "400": problem() }));
        item["get"]["parameters"] = json!([run_id()]);
        if let Some(field) = field {
            let schema = json!({ "type": "object", "properties": { field: { "type": "string" } }, "additionalProperties": false });
            item["get"]["requestBody"] =
                json!({ "required": false, "content": { json_type: { "schema": schema } } });
        }
        json!({ "post": item["get"] })
    };
    let mut log = get("log", "Which log lines there are, and who said so.", json_type, json!({}));
    let mut set =
        get("log_set", "Has other log lines written from now on.", json_type, json!({ "400": problem() }));
    set["get"]["requestBody"] = json!({ "required": true, "content": { json_type: {
        "schema": { "type": "object", "required": ["filter"], "properties": { "filter": { "type": "string" } }, "additionalProperties": false },
        "example": { "filter": "info,chassis::call=debug" },
    } } });
    log["put"] = set["get"].take();
    Map::from_iter(
        [
            (
                "/v1/plugins",
                get("plugins", "Plugins: loaded, and refused with the reason.", json_type, json!({})),
            ),
            ("/v1/faults", faults()),
            ("/v1/faults/{name}", fault()),
            ("/v1/log", log),
            ("/v1/instances", get("instances", "Instances and their operations.", json_type, json!({}))),
            ("/v1/flows", get("flows", "Flows and their input.", json_type, json!({}))),
            ("/v1/runs", runs),
            ("/v1/runs/{id}", run),
            ("/v1/runs/{id}/resume", act("resume", "Tries the undo of a stuck run again.", None)),
            (
                "/v1/runs/{id}/skip",
                act(
                    "skip",
                    "Leaves a step of a stuck run as it is, and goes on with the undo of the others.",
                    Some("step"),
                ),
            ),
            ("/v1/runs/{id}/cancel", act("cancel", "Has a running run undone.", Some("reason"))),
            ("/v1/traces", get("traces", "Recent traces, newest first.", json_type, json!({}))),
            ("/v1/traces/{id}", trace),
            (
                "/health",
                get(
                    "health",
                    "Every instance: state, version, latency, since when, last error.",
                    json_type,
                    json!({}),
                ),
            ),
            ("/health/live", get("live", "The host runs.", json_type, json!({}))),
            ("/health/ready", get("ready", "The host takes calls.", json_type, json!({ "503": problem() }))),
            ("/metrics", get("metrics", "Metrics for Prometheus.", "text/plain", json!({}))),
            ("/openapi.json", get("openapi", "This description.", json_type, json!({}))),
            ("/docs", get("docs", "This description as a page.", "text/html", json!({}))),
        ]
        .map(|(path, item)| (path.to_owned(), item)),
    )
}

/// Faults on purpose: on a host that allows them.
fn faults() -> Value {
    let answer = |id: &str, summary: &str| {
        json!({
            "operationId": format!("host.{id}"), "tags": ["host"], "summary": summary,
            "responses": {
                "200": {
                    "description": summary,
                    "headers": { "X-Trace-Id": { "$ref": "#/components/headers/trace_id" } },
                    "content": { "application/json": { "schema": {} } },
                },
                "4XX": { "$ref": "#/components/responses/problem" },
            },
        })
    };
    let mut set = answer("fault_set", "Puts a fault in force, where the configuration allows that.");
    set["requestBody"] = json!({ "required": true, "content": { "application/json": {
        "schema": { "type": "object" },
        "example": { "instance": "search", "operation": "index", "kind": "error", "code": "unavailable", "first": 3 },
    } } });
    json!({
        "get": answer("faults", "Faults in force, and how many hits are left of each."),
        "post": set,
        "delete": answer("faults_clear", "Lifts every fault."),
    })
}

fn fault() -> Value {
    let mut delete = faults()["delete"].clone();
    delete["operationId"] = json!("host.fault_clear");
    delete["summary"] = json!("Lifts one fault.");
    delete["parameters"] = json!([{
        "name": "name", "in": "path", "required": true, "description": "The fault's name.", "schema": { "type": "string" },
    }]);
    json!({ "delete": delete })
}

/// The raw attachment of an item, in its line.
pub fn base64() -> Value {
    json!({ "type": "string", "contentEncoding": "base64", "description": "The item's raw attachment, if it has one." })
}
