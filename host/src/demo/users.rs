//! Scene 4: six users, each in five stores.

use super::Demo;
use super::act::Act;
use super::people::{PEOPLE, Person};
use super::stores::{self, Found};
use crate::flow::RunState;
use chassis_abi::Code;
use std::time::Duration;

/// A user that was made.
#[derive(Clone)]
pub struct Made {
    /// The id.
    pub id: i64,
    /// The message that waits for it.
    pub message_id: String,
    /// The trace in which it was made.
    pub trace_id: String,
}

pub async fn play(demo: &mut Demo) {
    demo.screen.title("Users: each one in five stores");
    for person in &PEOPLE {
        let made =
            demo.check(format!("{} is made", person.full_name), async |act| create(act, person).await).await;
        let Some(made) = made else { return };
        demo.made.push(made);
    }
    demo.draw_last_trace();
    if let Some(last) = demo.made.last() {
        let key = format!("user_session:{}", last.id);
        demo.check("the last one's session can be read by its key", async |act| {
            let got = act.call("sessions", "get", serde_json::json!({ "key": key, "json": true })).await?;
            match got["value"]["email"] == PEOPLE[PEOPLE.len() - 1].email() {
                true => Ok(((), format!("GET {key} answers {}", got["value"]))),
                false => Err(format!("GET {key} answers {got}")),
            }
        })
        .await;
    }
    demo.check("an e-mail address that is taken is refused, and leaves nothing", async |act| {
        let before = (stores::users(act).await?, stores::waiting(act).await?);
        let outcome = act.run("create-user", PEOPLE[0].input()).await?;
        let code = outcome.error.as_ref().map(|error| error.failure.code());
        if outcome.state != RunState::Undone || code != Some(Code::AlreadyExists) {
            return Err(format!("the run is {} with {code:?}", outcome.state.as_str()));
        }
        let after = (stores::users(act).await?, stores::waiting(act).await?);
        if before != after {
            return Err(format!("users and messages were {before:?} and are {after:?}"));
        }
        Ok(((), "already_exists".to_owned()))
    })
    .await;
}

/// Makes a user, and finds it in each store.
pub async fn create(act: &Act<'_>, person: &Person) -> Result<(Made, String), String> {
    let waiting = stores::waiting(act).await?;
    let outcome = act.flow("create-user", person.input()).await?;
    let id = outcome.output["id"].as_i64().ok_or_else(|| format!("there is no id in {}", outcome.output))?;
    let message_id = outcome.output["message_id"].as_str().unwrap_or_default().to_owned();
    let found = stores::look(act, id, &outcome.run_id, true).await?;
    if found != Found::ALL {
        return Err(format!("user {id} is not in all stores: {found:?}"));
    }
    // A broker may count a moment later than it confirms.
    let one_more = async || Ok((stores::waiting(act).await? == waiting + 1).then_some(()));
    act.wait_for(Duration::from_secs(5), "one message more", one_more).await?;
    let told = format!("id {id}, made in {:.1} ms, found in all five stores", outcome.ms);
    Ok((Made { id, message_id, trace_id: act.trace_id() }, told))
}
