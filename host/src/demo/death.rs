//! Scene 10: a host dies in the middle of the work, by SIGKILL. The next one finds the run in the journal, and finishes its undo.

use super::Demo;
use super::act::Act;
use super::other::{PATIENCE, Running};
use super::people::ORPHAN;
use super::stores::{self, Found};
use hyper::Method;
use serde_json::{Value, json};

/// The run that a host left half undone.
struct Left {
    run: String,
    id: i64,
}

/// Answers with the host that went on, for the next scene.
pub async fn play(demo: &mut Demo) -> Option<Running> {
    demo.screen.title("Failure: the host itself is killed");
    let host = demo.check("a second host serves over the same stores", async |act| {
        let host = act.stage.other.start(act).await?;
        let told = format!("process {}, with a journal of its own", host.pid());
        Ok((host, told))
    });
    let host = host.await?;
    let left =
        demo.check("SIGKILL ends it in the middle of create-user", async |act| die(act, host).await).await?;
    demo.check("started again, it finishes the run's undo", async |act| revive(act, &left).await).await
}

async fn die(act: &Act<'_>, host: Running) -> Result<(Left, String), String> {
    // The index refuses, so that the run goes back; the way back is held up at its last step.
    host.fault(&json!({ "name": "refused", "kind": "error", "code": "failed_precondition", "instance": "search", "operation": "index", "latency": "60ms" })).await?;
    host.fault(
        &json!({ "name": "held", "kind": "latency", "instance": "users", "operation": "delete", "latency": "30s" }),
    )
    .await?;
    let input = ORPHAN.input();
    tokio::select! {
        ended = host.ask(Method::POST, "/v1/flows/create-user", &input) => {
            return Err(format!("the run ended before the host was killed: {ended:?}"));
        }
        met = host.hit(act, "held") => met?,
    }
    let pid = host.pid();
    host.kill().await?;
    let sql = "SELECT id, run_id FROM users WHERE email = $1";
    let found = act.call("users", "query", json!({ "sql": sql, "params": [ORPHAN.email()] })).await?;
    let row = &found["rows"][0];
    let (Some(id), Some(run)) = (row["id"].as_i64(), row["run_id"].as_str()) else {
        return Err(format!("nothing is half done: {found}"));
    };
    let told =
        format!("process {pid} is gone; run {run} is half undone: the row of user {id} is still there");
    Ok((Left { run: run.to_owned(), id }, told))
}

async fn revive(act: &Act<'_>, left: &Left) -> Result<(Running, String), String> {
    let host = act.stage.other.start(act).await?;
    let path = format!("/v1/runs/{}", left.run);
    let run = act.wait_for(PATIENCE, "the run to end", async || {
        let run = host.get(Method::GET, &path, None).await?;
        Ok(["undone", "completed", "stuck"].iter().any(|end| run["state"] == *end).then_some(run))
    });
    let run = run.await?;
    let found = stores::look(act, left.id, &left.run, true).await?;
    if run["state"] != "undone" || found != Found::NOTHING {
        return Err(format!("the run is {}, and of its user there is {found:?}", run["state"]));
    }
    let steps = run["steps"].as_array().into_iter().flatten();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let steps: Vec<String> =
        steps.map(|step| format!("{} {}", word(&step["name"]), word(&step["state"]))).collect();
    let told = format!("process {}: {}; nothing is left in any store", host.pid(), steps.join(", "));
    Ok((host, told))
}
