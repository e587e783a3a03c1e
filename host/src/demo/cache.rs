//! Scene 5: a user is read through the cache: a miss that fills it, then a hit.

use super::Demo;
use serde_json::{Value, json};

pub async fn play(demo: &mut Demo) {
    demo.screen.title("Cache");
    let Some(id) = demo.made.first().map(|made| made.id) else { return };
    let missed = demo.check("without a session the user is read from the database", async |act| {
        act.call("sessions", "delete", json!({ "key": format!("user_session:{id}") })).await?;
        let outcome = act.flow("get-user", json!({ "id": id })).await?;
        expect(&outcome.output, false)?;
        Ok(((outcome.output["user"].clone(), outcome.ms), format!("a miss, {:.2} ms", outcome.ms)))
    });
    let Some((user, miss)) = missed.await else { return };
    demo.check("the next time it comes from the cache, the same", async |act| {
        let outcome = act.flow("get-user", json!({ "id": id })).await?;
        expect(&outcome.output, true)?;
        if outcome.output["user"] != user {
            return Err(format!("the cache says {}, the database {user}", outcome.output["user"]));
        }
        Ok(((), format!("a hit, {:.2} ms, {:.1} times as fast", outcome.ms, miss / outcome.ms)))
    })
    .await;
}

fn expect(output: &Value, cached: bool) -> Result<(), String> {
    if output["cached"] == cached { Ok(()) } else { Err(format!("cached should be {cached}: {output}")) }
}
