//! Scene 3: the stores are prepared, and what an earlier demo left is taken away: its own users and nobody else's.

use super::Demo;
use super::act::Act;
use super::people::DOMAIN;
use crate::flow::trace::Spans;
use crate::flow::{Engine, Flow, FlowSet};
use crate::request::Context;
use serde_json::json;

/// Answers whether the stores are ready.
pub async fn play(demo: &mut Demo) -> bool {
    demo.screen.title("Stores");
    let prepared = demo.check("table, collection, index and queue are there", async |act| {
        let outcome = act.flow("setup", json!({})).await?;
        Ok(((), format!("setup took {:.1} ms", outcome.ms)))
    });
    if prepared.await.is_none() {
        return false;
    }
    let cleaned = demo.check("nothing is left of an earlier demo", async |act| {
        let gone = clean(act).await?;
        Ok(((), if gone == 0 { "there was none".to_owned() } else { format!("took away {gone} users") }))
    });
    cleaned.await.is_some()
}

/// Takes away the demo's users, by the domain of their addresses.
async fn clean(act: &Act<'_>) -> Result<usize, String> {
    let sql = "SELECT id, run_id FROM users WHERE email LIKE $1";
    let found = act.call("users", "query", json!({ "sql": sql, "params": [format!("%{DOMAIN}")] })).await?;
    let rows = found["rows"].as_array().cloned().unwrap_or_default();
    for row in &rows {
        let id = &row["id"];
        let run = row["run_id"].as_str().unwrap_or_default();
        let message = json!({ "queue": "welcome_messages", "message_id": format!("welcome-{run}") });
        act.call(
            "preferences",
            "delete",
            json!({ "collection": "user_preferences", "filter": { "_id": id } }),
        )
        .await?;
        act.call("sessions", "delete", json!({ "key": format!("user_session:{id}") })).await?;
        act.call("search", "delete", json!({ "index": "users", "id": id.to_string(), "refresh": true }))
            .await?;
        act.call("messages", "retract", message).await?;
        // The row is what the others are found by: it goes last.
        act.call("users", "delete", json!({ "table": "users", "key": { "id": id } })).await?;
    }
    restart_ids(act).await?;
    Ok(rows.len())
}

async fn restart_ids(act: &Act<'_>) -> Result<(), String> {
    let flow = Flow::parse("restart-ids", "restart_ids.toml", include_str!("restart_ids.toml"));
    let mut flows = FlowSet::default();
    flows.insert(flow.map_err(|error| error.to_string())?);
    let engine = Engine::new(flows, act.stage.calls.clone(), Spans::default());
    let outcome = engine
        .run("restart-ids", json!({}), Context::default())
        .await
        .map_err(|failure| failure.to_string())?;
    outcome.error.map_or(Ok(()), |error| Err(error.failure.to_string()))
}
