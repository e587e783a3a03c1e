//! What holds for any plugin.

use crate::schema::misfits;
use crate::{Bench, Case, Failure, Outcome, cases, expect_code, lies, outage};
use chassis_loader::manifest::Operation;
use chassis_loader::{Call, Code};
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;

/// The cases.
pub(crate) const CASES: &[Case] = cases! {
    "its manifest is sane" => manifest_is_sane,
    "a wrong configuration is refused with the field's name" => config_is_refused,
    "an operation that does not exist is unimplemented" => unknown_operation,
    "an input of a wrong type is refused with the field's name" => wrong_types,
    "health tells a version" => health_is_up,
    "64 calls run at once" => many_calls,
    "an instance whose poll panicked is poisoned, and another works" => panic_is_caught,
    "a call whose deadline passes ends at once, and the instance goes on" => outage::late_calls_are_dropped,
    "calls that are dropped leave nothing behind" => outage::dropped_calls_leave_nothing,
    "a server that is gone makes it unavailable, one that is back makes it work" => outage::down_and_up,
    "a server that is down at the start is not fatal" => outage::down_at_start,
    "a server that lies makes it unavailable, and holds up neither health nor the end" => lies::are_seen_through,
    "a password is never seen" => password_is_never_seen,
};

async fn manifest_is_sane(bench: &Bench) -> Outcome {
    let manifest = bench.plugin.manifest();
    let wrong = |what: String| Failure::Wrong(what);
    if manifest.description.is_empty() {
        return Err("the description is empty".into());
    }
    if manifest.config.get("type") != Some(&json!("object")) {
        return Err("the configuration's schema is not of an object".into());
    }
    if bench.operation("health").is_err() {
        return Err("there is no operation `health`".into());
    }
    for operation in &manifest.operations {
        let name = &operation.name;
        if operation.summary.is_empty() {
            return Err(wrong(format!("{name} has no summary")));
        }
        if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            return Err(wrong(format!("{name} is not in snake_case")));
        }
        if operation.input.get("type") != Some(&json!("object")) {
            return Err(wrong(format!("the input of {name} is not an object")));
        }
        if let Some(batch) = &operation.batched_by {
            let fits = |other: &&Operation| other.name == *batch && other.contract == operation.contract;
            let batch = manifest.operations.iter().find(fits);
            let items = batch.and_then(|batch| batch.input.get("properties")?.get("items")?.get("items"));
            let same = items.and_then(|item| item.get("properties")) == operation.input.get("properties");
            if !same {
                return Err(wrong(format!("what batches {name} does not take its inputs as items")));
            }
        }
    }
    Ok(())
}

async fn config_is_refused(bench: &Bench) -> Outcome {
    let (config, field) = bench.subject.wrong_config.clone();
    let error = expect_code(bench.another(config).await.map(drop), Code::InvalidArgument)?;
    if error.field.as_deref() != Some(field) {
        return Err(format!("expected the field {field}, got {:?}: {error}", error.field).into());
    }
    let mut config = bench.config();
    config["no_such_setting"] = json!(1);
    let error = expect_code(bench.another(config).await.map(drop), Code::InvalidArgument)?;
    if !error.message.contains("no_such_setting") {
        return Err(format!("the unknown setting is not named: {error}").into());
    }
    Ok(())
}

async fn unknown_operation(bench: &Bench) -> Outcome {
    let beyond = u32::try_from(bench.plugin.manifest().operations.len()).unwrap_or(u32::MAX - 1);
    expect_code(bench.call_with(Call::new(beyond, "{}")).await, Code::Unimplemented)?;
    Ok(())
}

async fn wrong_types(bench: &Bench) -> Outcome {
    for (at, operation) in bench.plugin.manifest().operations.iter().enumerate() {
        let ours =
            operation.contract.is_none() || operation.contract.as_deref() == Some(bench.subject.contract);
        if !ours {
            continue;
        }
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        let named = |what: Failure| Failure::Wrong(format!("{}: {what}", operation.name));
        for (field, input) in misfits(&operation.input) {
            let result = bench.call_with(Call::new(at, input.to_string())).await;
            let error = expect_code(result, Code::InvalidArgument).map_err(named)?;
            if !error.field.as_deref().is_some_and(|path| path.starts_with(&field)) {
                let got = error.field.as_deref().unwrap_or("no field");
                return Err(
                    format!("{}: expected the field {field}, got {got}: {error}", operation.name).into()
                );
            }
        }
        for broken in ["{", "[]", "[1]", "null", "7"] {
            let result = bench.call_with(Call::new(at, broken)).await;
            expect_code(result, Code::InvalidArgument).map_err(named)?;
        }
    }
    Ok(())
}

async fn health_is_up(bench: &Bench) -> Outcome {
    let health = bench.call("health", json!({})).await?;
    match health["server_version"].as_str() {
        Some(version) if !version.is_empty() => Ok(()),
        _ => Err(format!("no server version in {health}").into()),
    }
}

async fn many_calls(bench: &Bench) -> Outcome {
    let calls = (0..64).map(|_| bench.call("health", json!({})));
    for result in join_all(calls).await {
        result?;
    }
    Ok(())
}

async fn panic_is_caught(bench: &Bench) -> Outcome {
    let spoilt = bench.another(bench.config()).await?;
    let error = match spoilt.instance().panic_probe().await {
        Err(error) if error.code == Code::Unimplemented => {
            return Err(Failure::skipped("the plugin offers no panic to try"));
        }
        result => expect_code(result, Code::Internal)?,
    };
    if !spoilt.instance().poisoned() || !error.message.contains("panic") {
        return Err(format!("the panic is not told: {error}").into());
    }
    expect_code(spoilt.call("health", json!({})).await, Code::Unavailable)?;
    bench.call("health", json!({})).await?;
    bench.another(bench.config()).await?.call("health", json!({})).await?;
    Ok(())
}

async fn password_is_never_seen(bench: &Bench) -> Outcome {
    let Some(canary) = bench.subject.canary else { return Ok(()) };
    let (config, password) = canary(&bench.server);
    let seen = |what: &str, text: String| match text.contains(password) {
        true => Err(Failure::Wrong(format!(
            "the password is in {what}: {}",
            text.replace(password, "<password>")
        ))),
        false => Ok(()),
    };
    let other = match bench.another(config).await {
        Ok(other) => other,
        Err(error) => return seen("the refusal", format!("{error:?}")),
    };
    for _ in 0..2 {
        seen("what health answers", format!("{:?}", other.call("health", json!({})).await))?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for line in other.recorder.lines() {
        seen("the log", line)?;
    }
    Ok(())
}
