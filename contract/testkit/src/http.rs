//! What every plugin of the contract `http` must do. Its configuration must have the settings `base_url` and `body_limit`.

mod api;

use crate::{Bench, Case, Failure, Outcome, cases, expect_code, expect_eq};
use api::Api;
use chassis_loader::{Call, CallError, Code};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// The cases.
pub const CASES: &[Case] = cases! {
    "the path is a template, its values percent-encoded" => template,
    "a value cannot lead out of the path" => no_escape,
    "query and headers are sent" => query_and_headers,
    "a body is sent as JSON, by every method" => bodies,
    "JSON, text and nothing are told apart" => kinds,
    "a redirect is an answer, and not followed" => redirect,
    "4xx and 5xx are mapped to codes, with the status" => statuses,
    "a body that is not the JSON it says it is, is an error" => broken_json,
    "a bearer token is sent with every request, and never told" => bearer,
    "Retry-After is handed up, in seconds and as a date" => retry_after,
    "a longer body than the limit is resource_exhausted" => body_limit,
    "an answer that never comes is maybe_applied, unless it was a read" => lost_answer,
    "a server that refuses the connection has applied nothing" => no_connection,
    "connections are used again" => pooled,
    "a call that is dropped gives its request up" => cancelled,
    "trace context and idempotency key are sent" => context,
    "credentials in the base URL are sent, and never told" => credentials,
};

/// The API, and an instance that talks to it.
async fn talk(bench: &Bench) -> Result<(Api, Bench), Failure> {
    let api = Api::start().await?;
    let instance = to(bench, &api.url()).await?;
    Ok((api, instance))
}

async fn to(bench: &Bench, url: &str) -> Result<Bench, CallError> {
    let mut config = bench.config();
    config["base_url"] = json!(url);
    config["body_limit"] = json!(10_000);
    bench.another(config).await
}

async fn get(bench: &Bench, path: &str) -> Result<Value, CallError> {
    bench.call("get", json!({ "path": path })).await
}

async fn post(bench: &Bench, path: &str) -> Result<Value, CallError> {
    bench.call("request", json!({ "method": "POST", "path": path, "body": {} })).await
}

async fn template(bench: &Bench) -> Outcome {
    let api = Api::start().await?;
    let instance = to(bench, &format!("{}/v1/", api.url())).await?;
    let params = json!({ "id": 7, "name": "a b/c?d#e%é", "on": true });
    let input = json!({ "path": "/users/{id}/{name}/x-{on}", "path_params": params });
    let said = instance.call("get", input).await?;
    let target = "/v1/users/7/a%20b%2Fc%3Fd%23e%25%C3%A9/x-true";
    expect_eq("the path", &said["body"]["target"], &json!(target))?;
    for input in [
        json!({ "path": "/users/{id}" }),
        json!({ "path": "/users/{id", "path_params": { "id": 1 } }),
        json!({ "path": "/users", "path_params": { "id": 1 } }),
        json!({ "path": "/users/{id}", "path_params": { "id": [1] } }),
        json!({ "path": "users" }),
        json!({ "path": "/users?id=1" }),
    ] {
        expect_code(instance.call("get", input).await, Code::InvalidArgument)?;
    }
    expect_eq("requests", &api.requests(), &1)
}

async fn no_escape(bench: &Bench) -> Outcome {
    let (api, instance) = talk(bench).await?;
    for id in ["..", ".", ""] {
        let input = json!({ "path": "/users/{id}/x", "path_params": { "id": id } });
        let error = expect_code(instance.call("get", input).await, Code::InvalidArgument)?;
        expect_eq("the field", &error.field.as_deref(), &Some("path_params.id"))?;
    }
    for path in ["/../admin", "/users/%2e%2E/admin"] {
        expect_code(get(&instance, path).await, Code::InvalidArgument)?;
    }
    expect_eq("requests", &api.requests(), &0)
}

async fn query_and_headers(bench: &Bench) -> Outcome {
    let (_api, instance) = talk(bench).await?;
    let query = json!({ "q": "a&b c", "page": 2, "tag": ["x", "y"], "none": null });
    let input = json!({ "path": "/echo", "query": query, "headers": { "X-Custom": "yes" } });
    let said = instance.call("get", input).await?;
    expect_eq("target", &said["body"]["target"], &json!("/echo?page=2&q=a%26b+c&tag=x&tag=y"))?;
    expect_eq("header", &said["body"]["headers"]["x-custom"], &json!("yes"))?;
    let broken = json!({ "path": "/echo", "headers": { "X-Custom": "a\r\nX-Smuggled: b" } });
    expect_code(instance.call("get", broken).await, Code::InvalidArgument)?;
    Ok(())
}

async fn bodies(bench: &Bench) -> Outcome {
    let (_api, instance) = talk(bench).await?;
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET"] {
        let input = json!({ "method": method, "path": "/echo", "body": { "n": 1 } });
        let said = instance.call("request", input).await?;
        expect_eq("method", &said["body"]["method"], &json!(method))?;
        expect_eq("body", &said["body"]["body"], &json!("{\"n\":1}"))?;
        expect_eq("content type", &said["body"]["headers"]["content-type"], &json!("application/json"))?;
    }
    let said = instance.call("request", json!({ "method": "DELETE", "path": "/echo" })).await?;
    expect_eq("no body", &said["body"]["body"], &json!(""))
}

async fn kinds(bench: &Bench) -> Outcome {
    let (_api, instance) = talk(bench).await?;
    expect_eq("text", &get(&instance, "/text").await?["body"], &json!("snow ☃"))?;
    let empty = get(&instance, "/empty").await?;
    expect_eq("nothing", &(&empty["status"], &empty["body"]), &(&json!(204), &Value::Null))?;
    let twice = get(&instance, "/twice").await?;
    expect_eq("a header given twice", &twice["headers"]["x-twice"], &json!("one, two"))?;
    expect_eq("JSON", &twice["body"], &json!({}))
}

async fn redirect(bench: &Bench) -> Outcome {
    let (api, instance) = talk(bench).await?;
    let said = get(&instance, "/redirect").await?;
    expect_eq("status", &said["status"], &json!(302))?;
    expect_eq("location", &said["headers"]["location"], &json!("/elsewhere"))?;
    expect_eq("requests", &api.requests(), &1)
}

async fn statuses(bench: &Bench) -> Outcome {
    let (_api, instance) = talk(bench).await?;
    for (status, code, retryable, maybe_applied) in [
        ("400", Code::InvalidArgument, false, false),
        ("401", Code::Unauthenticated, false, false),
        ("403", Code::PermissionDenied, false, false),
        ("404", Code::NotFound, false, false),
        ("409", Code::Aborted, false, false),
        ("412", Code::FailedPrecondition, false, false),
        ("422", Code::InvalidArgument, false, false),
        ("429", Code::ResourceExhausted, true, false),
        ("500", Code::Internal, false, true),
        ("501", Code::Unimplemented, false, false),
        ("502", Code::Unavailable, true, true),
        ("503", Code::Unavailable, true, false),
        ("504", Code::DeadlineExceeded, false, true),
        // Of those that nobody knows the class counts; those that HTTP does not have are failures of the server.
        ("499", Code::InvalidArgument, false, false),
        ("599", Code::Internal, false, true),
        ("600", Code::Internal, false, true),
        ("999", Code::Internal, false, true),
    ] {
        let path = format!("/status/{status}");
        let wrong = |what: Failure| Failure::Wrong(format!("{status}: {what}"));
        let error = expect_code(post(&instance, &path).await, code).map_err(wrong)?;
        let got = (error.status.as_deref(), error.retryable, error.maybe_applied);
        expect_eq("POST", &got, &(Some(status), retryable, maybe_applied)).map_err(wrong)?;
        let error = expect_code(get(&instance, &path).await, code).map_err(wrong)?;
        expect_eq("GET: maybe_applied", &error.maybe_applied, &false).map_err(wrong)?;
    }
    Ok(())
}

async fn broken_json(bench: &Bench) -> Outcome {
    let (_api, instance) = talk(bench).await?;
    let error = expect_code(get(&instance, "/broken/json").await, Code::Internal)?;
    let told = error.message.contains("application/json") && error.message.contains("line 1 column");
    expect_eq("what it said and where it broke is told", &told, &true)?;
    expect_eq("the body is told", &error.causes.iter().any(|cause| cause.contains("{\"cut")), &true)?;
    expect_eq("GET", &(error.status.as_deref(), error.maybe_applied), &(Some("200"), false))?;
    let error = expect_code(post(&instance, "/broken/json").await, Code::Internal)?;
    expect_eq("POST", &(error.retryable, error.maybe_applied), &(false, true))?;
    let error = expect_code(get(&instance, "/broken/deep").await, Code::Internal)?;
    expect_eq("depth", &error.message.contains("recursion limit"), &true)?;
    // Without the announcement it is a text like any other.
    let text = get(&instance, "/broken/text").await?;
    expect_eq("text", &text["body"], &json!("{\"cut"))
}

async fn bearer(bench: &Bench) -> Outcome {
    let api = Api::start().await?;
    let mut config = bench.config();
    config["base_url"] = json!(api.url());
    config["bearer"] = json!("canary-b3a");
    let instance = bench.another(config).await?;
    for said in [get(&instance, "/echo").await?, post(&instance, "/echo").await?] {
        let sent = &said["body"]["headers"]["authorization"];
        expect_eq("authorization", sent, &json!("Bearer canary-b3a"))?;
    }
    for path in ["/status/401", "/status/500", "/break"] {
        let told = format!("{:?}", get(&instance, path).await);
        if !told.starts_with("Err") || told.contains("canary-b3a") {
            return Err(format!("the token is told, or no error: {told}").into());
        }
    }
    let mut config = bench.config();
    config["bearer"] = json!("no\nheader");
    let error = expect_code(bench.another(config).await.map(drop), Code::InvalidArgument)?;
    expect_eq("the field", &error.field.as_deref(), &Some("bearer"))
}

async fn retry_after(bench: &Bench) -> Outcome {
    let (_api, instance) = talk(bench).await?;
    let error = expect_code(get(&instance, "/retry/seconds").await, Code::Unavailable)?;
    expect_eq("seconds", &error.retry_after, &Some(Duration::from_secs(7)))?;
    let error = expect_code(get(&instance, "/retry/date").await, Code::ResourceExhausted)?;
    let long = error.retry_after.is_some_and(|wait| wait > Duration::from_secs(86_400));
    expect_eq("a date far away is a long wait", &long, &true)
}

async fn body_limit(bench: &Bench) -> Outcome {
    let (_api, instance) = talk(bench).await?;
    for kind in ["large", "chunked"] {
        let fits = get(&instance, &format!("/{kind}/10000")).await?;
        expect_eq("what fits", &fits["body"].as_str().map(str::len), &Some(10_000))?;
        let path = format!("/{kind}/10001");
        let error = expect_code(get(&instance, &path).await, Code::ResourceExhausted)?;
        expect_eq("retryable", &error.retryable, &false)?;
        let error = expect_code(post(&instance, &path).await, Code::ResourceExhausted)?;
        expect_eq("maybe_applied", &error.maybe_applied, &true)?;
    }
    Ok(())
}

async fn lost_answer(bench: &Bench) -> Outcome {
    let (api, instance) = talk(bench).await?;
    let error = expect_code(post(&instance, "/break").await, Code::Unavailable)?;
    expect_eq("POST", &(error.retryable, error.maybe_applied), &(true, true))?;
    expect_eq("requests", &api.requests(), &1)?;
    let error = expect_code(get(&instance, "/break").await, Code::Unavailable)?;
    expect_eq("GET", &(error.retryable, error.maybe_applied), &(true, false))
}

async fn no_connection(bench: &Bench) -> Outcome {
    let (api, instance) = talk(bench).await?;
    api.stop().await;
    let error = expect_code(post(&instance, "/echo").await, Code::Unavailable)?;
    expect_eq("POST", &(error.retryable, error.maybe_applied), &(true, false))
}

async fn pooled(bench: &Bench) -> Outcome {
    let (api, instance) = talk(bench).await?;
    for _ in 0..20 {
        get(&instance, "/echo").await?;
    }
    // A driver may give a connection back a moment after it handed up the answer.
    let opened = api.connections();
    if opened > 5 {
        Err(format!("20 requests one after the other took {opened} connections").into())
    } else {
        Ok(())
    }
}

async fn cancelled(bench: &Bench) -> Outcome {
    let (api, instance) = talk(bench).await?;
    let waiting = get(&instance, "/slow");
    if tokio::time::timeout(Duration::from_millis(200), waiting).await.is_ok() {
        return Err("the slow request was answered".into());
    }
    let given_up = || async { expect_eq("requests given up", &api.abandoned(), &1) };
    bench.eventually(Duration::from_secs(5), given_up).await
}

async fn context(bench: &Bench) -> Outcome {
    let (_api, instance) = talk(bench).await?;
    let input = json!({ "method": "POST", "path": "/echo" }).to_string();
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let call = Call {
        traceparent: Some(traceparent.into()),
        tracestate: Some("vendor=1".into()),
        idempotency_key: Some("key-1".into()),
        deadline: Some(SystemTime::now() + Duration::from_secs(5)),
        ..Call::new(instance.operation("request")?, input)
    };
    let reply = instance.call_with(call).await?;
    let said: Value = serde_json::from_slice(reply.json()).map_err(|error| error.to_string())?;
    let headers = &said["body"]["headers"];
    expect_eq("traceparent", &headers["traceparent"], &json!(traceparent))?;
    expect_eq("tracestate", &headers["tracestate"], &json!("vendor=1"))?;
    expect_eq("idempotency-key", &headers["idempotency-key"], &json!("key-1"))
}

async fn credentials(bench: &Bench) -> Outcome {
    let api = Api::start().await?;
    let instance = to(bench, &api.url().replace("//", "//user:p%40ss@")).await?;
    let said = get(&instance, "/echo").await?;
    let expected = json!("Basic dXNlcjpwQHNz");
    expect_eq("authorization", &said["body"]["headers"]["authorization"], &expected)?;
    for path in ["/status/401", "/status/500", "/break"] {
        let told = format!("{:?}", get(&instance, path).await);
        if !told.starts_with("Err") || told.contains("p%40ss") || told.contains("p@ss") {
            return Err(format!("the password is told, or no error: {told}").into());
        }
    }
    Ok(())
}
