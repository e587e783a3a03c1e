//! Looks into each store by plain calls, without a flow: what is there of a run?

use super::act::Act;
use serde_json::json;

/// What was found of one user.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Rows in the table.
    pub rows: usize,
    /// Documents in the collection.
    pub documents: u64,
    /// Whether there is a session.
    pub session: bool,
    /// Whether there is an entry in the index; not known while nobody was asked.
    pub entry: Option<bool>,
}

impl Found {
    /// One of each.
    pub const ALL: Found = Found { rows: 1, documents: 1, session: true, entry: Some(true) };
    /// Nothing anywhere.
    pub const NOTHING: Found = Found { rows: 0, documents: 0, session: false, entry: Some(false) };
}

/// Looks for what the run made or would have made. `ask_search` leaves out a search engine that is down.
pub async fn look(act: &Act<'_>, id: i64, run: &str, ask_search: bool) -> Result<Found, String> {
    let sql = "SELECT id FROM users WHERE run_id = $1 OR id = $2";
    let rows = act.call("users", "query", json!({ "sql": sql, "params": [run, id] })).await?;
    let filter = json!({ "$or": [{ "run_id": run }, { "_id": id }] });
    let documents = json!({ "collection": "user_preferences", "filter": filter });
    let documents = act.call("preferences", "count", documents).await?;
    let session = act.call("sessions", "get", json!({ "key": format!("user_session:{id}") })).await?;
    let entry = if ask_search {
        let entry = act.call("search", "get", json!({ "index": "users", "id": id.to_string() })).await?;
        Some(!entry["document"].is_null())
    } else {
        None
    };
    Ok(Found {
        rows: rows["rows"].as_array().map_or(0, Vec::len),
        documents: documents["count"].as_u64().unwrap_or(0),
        session: !session["value"].is_null(),
        entry,
    })
}

/// How many users there are.
pub async fn users(act: &Act<'_>) -> Result<i64, String> {
    let counted = act.call("users", "query", json!({ "sql": "SELECT count(*) AS n FROM users" })).await?;
    counted["rows"][0]["n"].as_i64().ok_or_else(|| format!("not a count: {counted}"))
}

/// How many messages wait.
pub async fn waiting(act: &Act<'_>) -> Result<u64, String> {
    let depth = act.call("messages", "depth", json!({ "queue": "welcome_messages" })).await?;
    depth["messages"].as_u64().ok_or_else(|| format!("not a depth: {depth}"))
}
