//! Scene 9: a backend goes away in the middle of the work. The user who cannot be made leaves nothing, and can be made when the
//! backend is back.

use super::Demo;
use super::act::Act;
use super::people::LATECOMER;
use super::stores::{self, Found};
use super::users;
use crate::flow::{RunOutcome, RunState, StepState};
use chassis_abi::Code;
use serde_json::json;
use std::time::Duration;

/// How long a server may take to go, and to come.
const PATIENCE: Duration = Duration::from_secs(90);

/// The user who could not be made.
struct Lost {
    id: i64,
    run: String,
    waiting: u64,
    users: i64,
}

pub async fn play(demo: &mut Demo) {
    let backend = demo.stage.roles.get("search").cloned().unwrap_or_default();
    demo.screen.title(&format!("Failure: {backend} goes away"));
    let stopped = demo.check(format!("{backend} is stopped"), async |act| {
        let done = act.stage.outage.begin().await?;
        act.wait_for(PATIENCE, "it to be gone", async || is_gone(act).await).await?;
        Ok(((), format!("{done}; calls answer unavailable")))
    });
    let stopped = stopped.await.is_some();
    let mut lost = None;
    if stopped {
        lost =
            demo.check("a user cannot be made, and every step is undone", async |act| fail(act).await).await;
        demo.draw_last_trace();
    }
    if let Some(lost) = &lost {
        demo.check("nothing is left in the other four stores", async |act| {
            nothing_left(act, lost, false).await
        })
        .await;
    }
    // Whatever was found: the backend is not left stopped.
    let back = demo.check(format!("{backend} is back"), async |act| {
        let done = act.stage.outage.end().await?;
        act.wait_for(PATIENCE, "it to answer", async || {
            act.call("search", "health", json!({})).await?;
            act.call("search", "count", json!({ "index": "users" })).await.map(Some)
        })
        .await?;
        Ok(((), done))
    });
    if back.await.is_none() {
        return;
    }
    if let Some(lost) = &lost {
        demo.check("nothing is left in any store", async |act| nothing_left(act, lost, true).await).await;
    }
    demo.check(format!("now {} is made", LATECOMER.full_name), async |act| {
        users::create(act, &LATECOMER).await
    })
    .await;
}

async fn is_gone(act: &Act<'_>) -> Result<Option<()>, String> {
    match act.try_call("search", "count", json!({ "index": "users" })).await {
        Err((Code::Unavailable, _)) => Ok(Some(())),
        Err((_, reason)) => Err(reason),
        Ok(_) => Ok(None),
    }
}

async fn fail(act: &Act<'_>) -> Result<(Lost, String), String> {
    let (waiting, users) = (stores::waiting(act).await?, stores::users(act).await?);
    let outcome = act.run("create-user", LATECOMER.input()).await?;
    let Some(error) = &outcome.error else { return Err("the user was made all the same".to_owned()) };
    let code = error.failure.code();
    if outcome.state != RunState::Undone || error.step != "entry" || code != Code::Unavailable {
        return Err(format!("the run is {}: step {}: {}", outcome.state.as_str(), error.step, error.failure));
    }
    let states: Vec<String> =
        outcome.steps.iter().map(|step| format!("{} {}", step.name, step.state.as_str())).collect();
    let undone = outcome.steps.iter().filter(|step| step.state == StepState::Undone).count();
    if undone != outcome.steps.len() - 1 {
        return Err(states.join(", "));
    }
    let id = id(&outcome).ok_or("the step `user` told no id")?;
    let told = format!("{code} at step entry after {:.1} ms; {}", outcome.ms, states.join(", "));
    Ok((Lost { id, run: outcome.run_id, waiting, users }, told))
}

/// The id that the database had given.
fn id(outcome: &RunOutcome) -> Option<i64> {
    outcome.step("user")?.output["row"]["id"].as_i64()
}

async fn nothing_left(act: &Act<'_>, lost: &Lost, ask_search: bool) -> Result<((), String), String> {
    let expected = Found { entry: ask_search.then_some(false), ..Found::NOTHING };
    let found = stores::look(act, lost.id, &lost.run, ask_search).await?;
    // A broker may count a moment later than it answers.
    let as_before = async || Ok((stores::waiting(act).await? == lost.waiting).then_some(()));
    let _ = act.wait_for(Duration::from_secs(3), "the messages to be as before", as_before).await;
    let (waiting, users) = (stores::waiting(act).await?, stores::users(act).await?);
    if found != expected || (waiting, users) != (lost.waiting, lost.users) {
        return Err(format!(
            "{found:?}; {waiting} messages wait and were {}, {users} users and were {}",
            lost.waiting, lost.users
        ));
    }
    if ask_search {
        let query = json!({ "index": "users", "filter": { "email": LATECOMER.email() } });
        let hits = act.call("search", "search", query).await?;
        if hits["total"] != 0 {
            return Err(format!("a search finds {hits}"));
        }
    }
    let id = lost.id;
    let entry = if ask_search { format!(", index entry {id}: none") } else { String::new() };
    Ok((
        (),
        format!(
            "rows of the run: 0 ({users} users as before), documents: 0, user_session:{id}: none, \
             messages: {waiting} as before{entry}"
        ),
    ))
}
